"""monitor: are requests, answers and quality still what they were when the serving version was made?"""
