"""The steps that a flow takes before and after the stages: what changes the registry and servers, and what is shown."""
