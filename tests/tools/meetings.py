"""The meetings API as tools that others publish see it.

icalendar reads the calendar files, standardwebhooks verifies the signatures, aiosmtpd takes the invitations, and
schemathesis asks everything that the served description allows, and more. Run by tests/long/published-tools, which installs them.
"""

import datetime
import email.policy
import http.server
import json
import os
import queue
import re
import ssl
import subprocess
import sys
import tempfile
import threading
import unittest
import urllib.request
import zoneinfo
from pathlib import Path

import aiosmtpd.controller
import aiosmtpd.smtp
import icalendar
import standardwebhooks

VISAVIS = os.environ["VISAVIS_BIN"]
HERE = Path(__file__).parent


class Server:
    """A server of its own, with a key that may do everything."""

    def __init__(self, *arguments, **environment):
        self.folder = tempfile.TemporaryDirectory()
        data = ["--data-dir", self.folder.name]
        self.process = subprocess.Popen(
            [VISAVIS, *data, "--listen", "127.0.0.1:0", "--turn-listen", "127.0.0.1:0", "--media-port", "0",
             "--webhook-allow-private", *arguments],
            env={**os.environ, **environment}, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        for line in self.process.stderr:
            found = re.search(r"listening addr=(\S+)", line)
            if found:
                self.url = f"http://{found[1]}"
                break
        else:
            raise AssertionError("the server did not start")
        # It goes on to log: nobody must keep it waiting.
        threading.Thread(target=self.process.stderr.read, daemon=True).start()
        made = subprocess.run([VISAVIS, *data, "api-key", "create", "--scope", "admin"], check=True,
                              capture_output=True, text=True)
        self.key = made.stdout.strip()

    def ask(self, method, path, body=None, **headers):
        request = urllib.request.Request(self.url + path, method=method, headers={
            "Authorization": f"Bearer {self.key}", "Content-Type": "application/json",
            **{name.replace("_", "-"): value for name, value in headers.items()}})
        with urllib.request.urlopen(request, None if body is None else json.dumps(body).encode()) as answer:
            return answer.read(), answer.headers

    def book(self, **fields):
        meeting = {"title": "Standup", "timeZone": "Europe/Berlin", "durationMinutes": 30, **fields}
        return json.loads(self.ask("POST", "/api/v1/meetings", meeting)[0])

    @property
    def certificate(self):
        return Path(self.folder.name, "self-made-certificate.pem")

    def stop(self):
        self.process.terminate()
        assert self.process.wait(30) == 0
        self.folder.cleanup()


class Receiver:
    """Takes webhooks."""

    def __init__(self):
        self.got = got = queue.Queue()

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                self.send_response(204)
                self.end_headers()
                got.put((body, dict(self.headers)))

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook"


class Postbox:
    """A mail server that wants STARTTLS and a login."""

    def __init__(self, certificate):
        self.got = got = queue.Queue()

        class Handler:
            async def handle_DATA(self, server, session, envelope):
                got.put(envelope)
                return "250 taken"

        def authenticate(server, session, envelope, mechanism, login):
            good = (login.login, login.password) == (b"calls", b"sesame")
            return aiosmtpd.smtp.AuthResult(success=good)

        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(certificate)

        class Controller(aiosmtpd.controller.Controller):
            def _trigger_server(self):
                # Only now is it known which port it is.
                self.port = self.server.sockets[0].getsockname()[1]
                super()._trigger_server()

        self.controller = Controller(
            Handler(), hostname="127.0.0.1", port=0, tls_context=tls, require_starttls=True, auth_required=True,
            authenticator=authenticate)
        self.controller.start()
        self.port = self.controller.port


class PublishedTools(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server()
        cls.addClassCleanup(cls.server.stop)

    def test_icalendar_reads_a_series(self):
        year = datetime.datetime.now(datetime.UTC).year + 1
        # The clocks change between the first and the last.
        start = datetime.datetime(year, 3, 15, 8, 0, tzinfo=zoneinfo.ZoneInfo("Europe/Berlin"))
        meeting = self.server.book(startsAt=start.astimezone(datetime.UTC).isoformat(),
                                   recurrence="FREQ=WEEKLY;COUNT=4", title="Übung; mit, Zeichen")
        path = f"/api/v1/meetings/{meeting['meeting']}"

        calendar, first = self.event(path)
        self.assertEqual(first["SUMMARY"], "Übung; mit, Zeichen")
        self.assertEqual(first["DTSTART"].dt, start)
        self.assertEqual(first["DTSTART"].params["TZID"], "Europe/Berlin")
        self.assertEqual(first["DTEND"].dt - first["DTSTART"].dt, datetime.timedelta(minutes=30))
        self.assertEqual(first["RRULE"]["COUNT"], [4])
        self.assertIn("METHOD", calendar)
        [zone] = calendar.walk("VTIMEZONE")
        winter, summer = (zone.to_tz().utcoffset(datetime.datetime(year, month, 1, 12)) for month in (2, 7))
        self.assertEqual((winter, summer), (datetime.timedelta(hours=1), datetime.timedelta(hours=2)))

        _, headers = self.server.ask("GET", path)
        self.server.ask("PATCH", path, {"title": "Moved"}, If_Match=headers["ETag"])
        _, second = self.event(path)
        self.assertEqual((second["UID"], second["SUMMARY"]), (first["UID"], "Moved"))
        self.assertGreater(second["SEQUENCE"], first["SEQUENCE"])

        self.server.ask("DELETE", path)
        calendar, last = self.event(path)
        self.assertEqual((calendar["METHOD"], last["STATUS"], last["UID"]), ("CANCEL", "CANCELLED", first["UID"]))

    def event(self, path):
        calendar = icalendar.Calendar.from_ical(self.server.ask("GET", f"{path}/calendar.ics")[0])
        [event] = calendar.walk("VEVENT")
        self.assertEqual((calendar.errors, event.errors), ([], []))
        return calendar, event

    def test_standardwebhooks_verifies_the_signatures(self):
        receiver = Receiver()
        meeting = self.server.book(webhookUrl=receiver.url)
        webhook = standardwebhooks.Webhook(meeting["webhookSecret"])
        body, headers = receiver.got.get(timeout=30)
        self.assertEqual(webhook.verify(body, headers)["type"], "meeting.created")
        with self.assertRaises(standardwebhooks.WebhookVerificationError):
            webhook.verify(body.replace(b"Standup", b"Stand-up"), headers)

    def test_aiosmtpd_takes_invitations_and_icalendar_reads_them(self):
        postbox = Postbox(self.server.certificate)
        self.addCleanup(postbox.controller.stop)
        server = Server("--smtp", f"smtp://calls:sesame@localhost:{postbox.port}?tls=required",
                        "--mail-from", "Calls <calls@example.org>", "--public-url", "https://calls.example",
                        SSL_CERT_FILE=str(self.server.certificate))
        self.addCleanup(server.stop)
        start = datetime.datetime.now(datetime.UTC).replace(microsecond=0) + datetime.timedelta(days=30)
        meeting = server.book(title="Übung; mit, Zeichen", startsAt=start.isoformat(),
                              attendees=[{"name": 'Ada "Ä" L.', "email": "ada@example.net"}])
        path = f"/api/v1/meetings/{meeting['meeting']}"

        calendar, first = self.invitation(postbox, "Übung; mit, Zeichen")
        self.assertEqual((calendar["METHOD"], first["SEQUENCE"]), ("REQUEST", 0))
        self.assertEqual(first["DTSTART"].dt, start)
        self.assertEqual((first["ORGANIZER"], first["ATTENDEE"]), ("mailto:calls@example.org", "mailto:ada@example.net"))
        server.ask("PATCH", path, {"startsAt": (start + datetime.timedelta(hours=1)).isoformat()}, If_Match="*")
        calendar, second = self.invitation(postbox, "Changed: Übung; mit, Zeichen")
        self.assertEqual((calendar["METHOD"], second["UID"], second["SEQUENCE"]), ("REQUEST", first["UID"], 1))
        self.assertEqual(second["DTSTART"].dt - first["DTSTART"].dt, datetime.timedelta(hours=1))
        server.ask("DELETE", path)
        calendar, last = self.invitation(postbox, "Called off: Übung; mit, Zeichen")
        self.assertEqual((calendar["METHOD"], last["UID"], last["SEQUENCE"]), ("CANCEL", first["UID"], 2))

    def invitation(self, postbox, subject):
        envelope = postbox.got.get(timeout=30)
        self.assertEqual((envelope.mail_from, envelope.rcpt_tos), ("calls@example.org", ["ada@example.net"]))
        letter = email.message_from_bytes(envelope.content, policy=email.policy.default)
        self.assertEqual((letter["Subject"], letter.defects), (subject, []))
        self.assertEqual([address.addr_spec for address in letter["To"].addresses], ["ada@example.net"])
        [request] = [part for part in letter.walk() if part.get_content_type() == "text/calendar"]
        [attached] = letter.iter_attachments()
        self.assertEqual(attached.get_filename(), "invite.ics")
        calendar = icalendar.Calendar.from_ical(request.get_content())
        [event] = calendar.walk("VEVENT")
        self.assertEqual((calendar.errors, event.errors), ([], []))
        self.assertEqual(request["Content-Type"].params["method"], calendar["METHOD"])
        return calendar, event

    def test_schemathesis_finds_nothing(self):
        done = subprocess.run(
            [Path(sys.executable).with_name("schemathesis"), "--config-file", HERE / "schemathesis.toml", "run",
             f"{self.server.url}/api/v1/openapi.json", "--header", f"Authorization: Bearer {self.server.key}"],
            # Its configuration names the hooks by their file.
            cwd=HERE, stdin=subprocess.DEVNULL)
        self.assertEqual(done.returncode, 0)


if __name__ == "__main__":
    unittest.main(verbosity=2)
