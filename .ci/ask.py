"""Asks the endpoint that `make pipeline` left running one question, over its public API; 0 where the answer is whole.

The file imports nothing of ours, so that no change of our own functions can break it unseen.
"""

import json
import sys
from pathlib import Path

import httpx

TICKET = (
    "Subject: lamp on fire??\n\nOK not fire but the Glow by my bed is too hot to touch and smells of plastic. "
    "Unplugged it. What now?"
)

endpoint = json.loads(Path("reports/triage/summary.json").read_text())["endpoint"]
system = json.loads(Path("data/prepared/support_tickets/format.json").read_text())["system"]
messages = [{"role": "system", "content": system}, {"role": "user", "content": TICKET}]
response = httpx.post(
    f"{endpoint['url']}/chat/completions",
    json={"model": endpoint["model"], "messages": messages, "temperature": 0, "max_tokens": 128},
    timeout=120,
)
if response.status_code != 200:
    sys.exit(f"{endpoint['url']} answers {response.status_code}: {response.text[:300]}")
answer = response.json()["choices"][0]["message"]["content"]
print("the endpoint answers:", answer)
missing = {"category", "intent", "priority", "reply"} - json.loads(answer).keys()
if missing:
    sys.exit(f"the answer lacks {sorted(missing)}")
print("endpoint: valid JSON")
