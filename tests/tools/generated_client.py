"""Uses the server by a client that was generated from its description: books, records, lists, downloads, erases.

    generated_client.py PACKAGE_FOLDER URL KEY FILE

Says `booked CODE` when somebody may come, reads a line once there is something to record, and ends with `erased`.
"""

import sys
import time

folder, url, key, file = sys.argv[1:]
sys.path.insert(0, folder)

from visavis_client import AuthenticatedClient, models  # noqa: E402
from visavis_client.api.default import (  # noqa: E402
    book_meeting,
    delete_meeting,
    delete_recording,
    download_recording,
    get_meeting,
    list_meetings,
    list_recordings,
    start_recording,
    stop_recording,
)

client = AuthenticatedClient(base_url=url, token=key)


def until(what, look):
    for _ in range(600):
        if seen := look():
            return seen
        time.sleep(0.1)
    raise SystemExit(f"waited in vain for: {what}")


def recordings(room):
    page = list_recordings.sync(client=client, room=room)
    assert isinstance(page, models.Recordings), page
    return page.recordings


wanted = models.NewMeeting(title="Algebra", time_zone="Europe/Berlin", duration_minutes=45)
meeting = book_meeting.sync(client=client, body=wanted, idempotency_key="algebra-1")
assert isinstance(meeting, models.Meeting), meeting
again = book_meeting.sync(client=client, body=wanted, idempotency_key="algebra-1")
assert again.meeting == meeting.meeting
assert [one.meeting for one in list_meetings.sync(client=client).meetings] == [meeting.meeting]
refused = book_meeting.sync(client=client, body=models.NewMeeting(title="", time_zone="Europe/Berlin", duration_minutes=45))
assert isinstance(refused, models.Problem) and refused.status == 400, refused

print("booked", meeting.code, flush=True)
sys.stdin.readline()

body = models.RecordedRoom(room=meeting.code)
accepted = start_recording.sync(client=client, body=body)
assert accepted.state == models.RecordingAcceptedState.STARTING, accepted
until("a recording", lambda: any(one.bytes_ for one in recordings(meeting.code)))
print("recording", flush=True)
sys.stdin.readline()
assert stop_recording.sync(client=client, body=body).state == models.RecordingAcceptedState.STOPPING
ready = until("what is ready", lambda: [one for one in recordings(meeting.code) if one.state == models.RecordingState.READY])
with open(file, "wb") as saved:
    saved.write(download_recording.sync(ready[0].recording, client=client).payload.read())

for one in recordings(meeting.code):
    assert delete_recording.sync_detailed(one.recording, client=client).status_code == 204
assert recordings(meeting.code) == []
assert delete_meeting.sync_detailed(meeting.meeting, client=client, erase=True).status_code == 204
assert get_meeting.sync(meeting.meeting, client=client).status == 404
assert list_meetings.sync(client=client).meetings == []
print("erased", flush=True)
