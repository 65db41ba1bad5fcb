"""Prints a room's chat, over server-sent events; a broken connection is resumed: python3 resume.py URL ROOM NAME"""
import http.client, json, sys, time, urllib.error, urllib.request

URL, ROOM, NAME = sys.argv[1:]

def request(path, body=None, **headers):
    data = None if body is None else json.dumps(body).encode()
    headers["Content-Type"] = "application/json"
    return urllib.request.urlopen(urllib.request.Request(f"{URL}/api/v1/sessions{path}", data, headers), timeout=45)

def events(session, last):
    """Everything that happens after the event `last`, until the stream breaks."""
    headers = {"Authorization": f"Bearer {session['secret']}", "Last-Event-ID": str(last)}
    with request(f"/{session['session']}/events", **headers) as stream:
        event_id = None
        for line in stream:
            field, _, value = line.decode().rstrip("\n").partition(": ")
            if field == "id":
                event_id = int(value)
            elif field == "data":
                yield event_id, json.loads(value)
                event_id = None

message = {"type": "join", "room": ROOM, "name": NAME}
while True:
    try:
        session = json.load(request("", message))
        message = {"type": "resume", "session": session["session"], "secret": session["secret"], "lastId": session["lastId"]}
        for event_id, event in events(session, message["lastId"]):
            message["lastId"] = event_id or event.get("lastId", message["lastId"])
            if event["type"] == "chat":
                print(event["text"], flush=True)
            elif event["type"] == "room-ended":
                sys.exit()
    except urllib.error.HTTPError as refusal:
        sys.exit(f"refused: {refusal.read().decode()}")
    except (OSError, http.client.HTTPException) as lost:
        print(f"reconnecting: {lost}", file=sys.stderr)
        time.sleep(1)
