"""Books a meeting as another application does, moves it, fetches its calendar file, and calls it off: python3 schedule_a_meeting.py URL

VISAVIS_KEY is an API key: visavis api-key create --scope meetings:write
"""
import datetime
import json
import os
import sys
import urllib.request

URL = sys.argv[1]


def ask(method, path, body=None, **headers):
    """The answer of the server: its JSON, or its text if it is none; and its entity tag."""
    headers = {"Authorization": f"Bearer {os.environ['VISAVIS_KEY']}", "Content-Type": "application/json", **headers}
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(f"{URL}/api/v1{path}", data, headers, method=method)) as answer:
        text = answer.read().decode()
        is_json = answer.headers.get("Content-Type", "").startswith("application/json")
        return json.loads(text) if is_json else text, answer.headers.get("ETag")


tomorrow = datetime.datetime.now(datetime.UTC).replace(microsecond=0) + datetime.timedelta(days=1)
booking = {
    "title": "Algebra",
    "startsAt": tomorrow.isoformat(),
    "timeZone": "Europe/Berlin",
    "durationMinutes": 45,
    "lobby": True,
}
# If the answer is lost, the same request with the same key books nothing twice.
meeting, _ = ask("POST", "/meetings", booking, **{"Idempotency-Key": f"algebra-{tomorrow:%Y%m%d}"})
print("booked", meeting["code"], meeting["joinUrl"])

# Only the version that was read is changed.
current, tag = ask("GET", f"/meetings/{meeting['meeting']}")
later = tomorrow + datetime.timedelta(hours=1)
moved, _ = ask("PATCH", f"/meetings/{meeting['meeting']}", {"startsAt": later.isoformat()}, **{"If-Match": tag})
print("moved", current["startsAt"], moved["startsAt"])

calendar, _ = ask("GET", f"/meetings/{meeting['meeting']}/calendar.ics")
print("calendar", next(line for line in calendar.splitlines() if line.startswith("UID:")))

cancelled, _ = ask("DELETE", f"/meetings/{meeting['meeting']}")
state, _ = ask("GET", f"/meetings/{meeting['meeting']}")
print("called off", state["state"])
