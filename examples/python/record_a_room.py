"""Records everybody in a room until Enter is pressed, and downloads the files: python3 record_a_room.py URL ROOM

VISAVIS_KEY is an API key: visavis api-key create --scope recordings
"""
import json
import os
import pathlib
import sys
import time
import urllib.request

URL, ROOM = sys.argv[1:]


def ask(method, path, body=None):
    """The answer of the server, as JSON."""
    headers = {"Authorization": f"Bearer {os.environ['VISAVIS_KEY']}", "Content-Type": "application/json"}
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(f"{URL}/api/v1{path}", data, headers, method=method)) as answer:
        return json.load(answer)


def recordings():
    return ask("GET", f"/recordings?room={ROOM}")["recordings"]


earlier = {recording["recording"] for recording in recordings()}
ask("POST", "/recordings", {"room": ROOM})
print("recording", flush=True)
sys.stdin.readline()
ask("POST", "/recordings/stop", {"room": ROOM})

# A file is being finalised for a moment after it was stopped.
while any(recording["state"] not in ("ready", "failed") for recording in recordings()):
    time.sleep(0.5)
for recording in recordings():
    if recording["recording"] in earlier or recording["state"] == "failed":
        continue
    file = pathlib.Path(f"{recording['recording']}.{recording['container']}")
    # The link is signed, and needs no key.
    with urllib.request.urlopen(URL + recording["url"]) as answer, file.open("wb") as out:
        while piece := answer.read(1 << 20):
            out.write(piece)
    print("saved", file, recording["name"], recording["durationMs"], flush=True)
