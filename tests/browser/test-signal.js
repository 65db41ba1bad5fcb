// A made-up camera and microphone with a flash and a beep at the same instant of each second, and nothing in between.
// Put into a page before its own scripts; `codec` limits what the page can send.
/* global codec */

const RATE = 25;

function testStream() {
  const context = new AudioContext();
  const oscillator = new OscillatorNode(context, { frequency: 1000 });
  const gain = new GainNode(context, { gain: 0 });
  const destination = context.createMediaStreamDestination();
  oscillator.connect(gain).connect(destination);
  oscillator.start();
  const canvas = Object.assign(document.createElement('canvas'), { width: 640, height: 360 });
  const paint = canvas.getContext('2d');
  const stream = canvas.captureStream(0);
  const [picture] = stream.getVideoTracks();
  let painted = 0;
  let shown = 0;
  let white = false;
  const beat = () => {
    // The audio clock decides when it beeps, and the picture goes by it: a change is shown at once.
    const flash = context.currentTime % 1 < 0.2;
    if (flash === white && performance.now() - shown < 1000 / RATE - 5) return;
    white = flash;
    shown = performance.now();
    paint.fillStyle = flash ? '#fff' : '#000';
    paint.fillRect(0, 0, 640, 360);
    paint.fillStyle = flash ? '#000' : '#fff';
    paint.font = '40px monospace';
    paint.fillText(String(painted++), 20, 340);
    picture.requestFrame();
  };
  const schedule = () => {
    const next = Math.ceil(context.currentTime + 0.05);
    gain.gain.setValueAtTime(0.8, next);
    gain.gain.setValueAtTime(0, next + 0.2);
    setTimeout(schedule, (next + 0.5 - context.currentTime) * 1000);
  };
  schedule();
  setInterval(beat, 5);
  stream.addTrack(destination.stream.getAudioTracks()[0]);
  window.testSignal = { context, canvas };
  return stream;
}

let signal;
navigator.mediaDevices.getUserMedia = async (constraints) => {
  signal ??= testStream();
  await signal.context?.resume();
  const tracks = signal.getTracks().filter((track) => constraints[track.kind]);
  return new MediaStream(tracks);
};

const { addTransceiver } = RTCPeerConnection.prototype;
RTCPeerConnection.prototype.addTransceiver = function (track, ...rest) {
  const transceiver = addTransceiver.call(this, track, ...rest);
  if ((track.kind ?? track) === 'video' && codec) {
    const capable = RTCRtpReceiver.getCapabilities('video').codecs;
    transceiver.setCodecPreferences(capable.filter(({ mimeType }) => [`video/${codec}`, 'video/rtx'].includes(mimeType)));
  }
  return transceiver;
};
