#!/usr/bin/python3
"""WHIP and WHEP by GStreamer's webrtcbin.

    client.py publish URL    sends a test picture (VP8) and a tone (Opus)
    client.py play URL       decodes what comes, and counts it

Prints a line of JSON for each thing that happens: {"connected": true}, {"kind": "video", "buffers": 30}. Ends, and the
session with it, when its standard input does.
"""

import json
import sys
import threading
import urllib.error
import urllib.parse
import urllib.request

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstSdp", "1.0")
gi.require_version("GstWebRTC", "1.0")
from gi.repository import GLib, Gst, GstSdp, GstWebRTC  # noqa: E402

PUBLISH = """
    webrtcbin name=peer bundle-policy=max-bundle
    videotestsrc is-live=true pattern=ball ! video/x-raw,width=640,height=360,framerate=30/1
        ! vp8enc deadline=1 keyframe-max-dist=60 ! rtpvp8pay pt=96 picture-id-mode=15-bit
        ! application/x-rtp,media=video,encoding-name=VP8,payload=96 ! peer.
    audiotestsrc is-live=true wave=sine ! audioconvert ! audioresample ! opusenc ! rtpopuspay pt=111
        ! application/x-rtp,media=audio,encoding-name=OPUS,payload=111 ! peer.
"""
PLAYED = {
    "video": "application/x-rtp,media=video,encoding-name=VP8,clock-rate=90000,payload=96",
    "audio": "application/x-rtp,media=audio,encoding-name=OPUS,clock-rate=48000,payload=111",
}
DECODED = {
    "VP8": "rtpvp8depay ! vp8dec ! fakesink name=end sync=false signal-handoffs=true",
    "OPUS": "rtpopusdepay ! opusdec ! fakesink name=end sync=false signal-handoffs=true",
}
# A buffer of sound is 20 ms, one of video a picture.
TOLD_EVERY = 10
SAYING = threading.Lock()


def tell(**what):
    # Pads report from threads of their own, and `print` writes the end of a line apart.
    with SAYING:
        print(json.dumps(what), flush=True)


class Client:
    """One session, from its offer to its end."""

    def __init__(self, role, url):
        self.url = url
        self.session = None
        self.loop = GLib.MainLoop()
        self.failed = False
        if role == "publish":
            self.pipeline = Gst.parse_launch(PUBLISH)
            self.peer = self.pipeline.get_by_name("peer")
        else:
            self.pipeline = Gst.Pipeline.new()
            self.peer = Gst.ElementFactory.make("webrtcbin", "peer")
            self.peer.set_property("bundle-policy", GstWebRTC.WebRTCBundlePolicy.MAX_BUNDLE)
            self.pipeline.add(self.peer)
            for caps in PLAYED.values():
                direction = GstWebRTC.WebRTCRTPTransceiverDirection.RECVONLY
                self.peer.emit("add-transceiver", direction, Gst.Caps.from_string(caps))
            self.peer.connect("pad-added", self.on_pad)
        self.peer.connect("notify::ice-gathering-state", self.on_gathering)
        self.peer.connect("notify::connection-state", self.on_connection)
        bus = self.pipeline.get_bus()
        bus.add_signal_watch()
        bus.connect("message::error", self.on_error)

    def run(self):
        threading.Thread(target=self.wait_for_the_end, daemon=True).start()
        if self.pipeline.set_state(Gst.State.PLAYING) == Gst.StateChangeReturn.FAILURE:
            raise SystemExit("the pipeline does not start")
        # Once everything that sends is negotiated; at once for a player.
        GLib.timeout_add(50, self.offer_when_ready)
        self.loop.run()
        self.pipeline.set_state(Gst.State.NULL)
        if self.session:
            tell(ended=self.ask("DELETE", self.session, None, None)[0])
        return 1 if self.failed else 0

    def wait_for_the_end(self):
        sys.stdin.read()
        GLib.idle_add(self.loop.quit)

    def offer_when_ready(self):
        pads = [pad for pad in self.peer.pads if pad.direction == Gst.PadDirection.SINK]
        if any(pad.get_current_caps() is None for pad in pads):
            return True
        self.peer.emit("create-offer", None, Gst.Promise.new_with_change_func(self.on_offer))
        return False

    def on_offer(self, promise):
        # The offer lives as long as the reply that it stands in.
        reply = promise.get_reply()
        self.peer.emit("set-local-description", reply.get_value("offer"), Gst.Promise.new())

    def on_gathering(self, peer, _property):
        if peer.get_property("ice-gathering-state") == GstWebRTC.WebRTCICEGatheringState.COMPLETE:
            GLib.idle_add(self.post)

    def post(self):
        if self.session:
            return
        offer = self.peer.get_property("local-description").sdp.as_text()
        status, headers, answer = self.ask("POST", self.url, "application/sdp", offer.encode())
        if status != 201:
            tell(refused=status, problem=answer.decode())
            self.failed = True
            self.loop.quit()
            return
        self.session = urllib.parse.urljoin(self.url, headers["Location"])
        _, sdp = GstSdp.SDPMessage.new_from_text(answer.decode())
        description = GstWebRTC.WebRTCSessionDescription.new(GstWebRTC.WebRTCSDPType.ANSWER, sdp)
        self.peer.emit("set-remote-description", description, Gst.Promise.new())

    @staticmethod
    def ask(method, url, media_type, body):
        headers = {"Content-Type": media_type} if media_type else {}
        request = urllib.request.Request(url, data=body, headers=headers, method=method)
        try:
            with urllib.request.urlopen(request) as response:
                return response.status, response.headers, response.read()
        except urllib.error.HTTPError as error:
            return error.code, error.headers, error.read()

    def on_connection(self, peer, _property):
        state = peer.get_property("connection-state")
        if state == GstWebRTC.WebRTCPeerConnectionState.CONNECTED:
            tell(connected=True)
        elif state == GstWebRTC.WebRTCPeerConnectionState.FAILED:
            self.failed = True
            GLib.idle_add(self.loop.quit)

    def on_pad(self, _peer, pad):
        caps = pad.get_current_caps().get_structure(0)
        decoder = DECODED.get(caps.get_string("encoding-name"))
        if pad.direction != Gst.PadDirection.SRC or decoder is None:
            return
        branch = Gst.parse_bin_from_description(decoder, True)
        count = {"buffers": 0}

        def counted(*_):
            count["buffers"] += 1
            if count["buffers"] % TOLD_EVERY == 0:
                tell(kind=caps.get_string("media"), **count)

        branch.get_by_name("end").connect("handoff", counted)
        self.pipeline.add(branch)
        branch.sync_state_with_parent()
        pad.link(branch.get_static_pad("sink"))

    def on_error(self, _bus, message):
        error, detail = message.parse_error()
        tell(error=str(error), detail=detail)
        self.failed = True
        self.loop.quit()


if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[1] not in ("publish", "play"):
        sys.exit(__doc__)
    Gst.init(None)
    sys.exit(Client(sys.argv[1], sys.argv[2]).run())
