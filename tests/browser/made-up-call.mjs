// The page's own call screen in a room whose people are made up: no media and no server behind it, so that hundreds of
// rooms are seen in seconds.

/**
 * Opens it in a page. `window.madeUp` then has `call`, `people(count)` with oneself among them, `person(index, changes)`, `hand(index, up)`,
 * `speak(indices)`, `arrive(index, figures)` of a picture that is not decoded, and `event(event)`, as if the server had said it.
 */
export async function openStage(page, url, { layout = 'grid', features = [], room = {}, host = false } = {}) {
  await page.goto(url);
  await page.evaluate(async (preferences) => {
    localStorage.setItem('visavis.preferences', JSON.stringify(preferences));
  }, { layout, name: 'Me' });
  await page.goto(`${url}/r/made-up`);
  await page.locator('#app main').waitFor();
  await page.evaluate(async ({ features, room, host }) => {
    const at = (path) => new URL(path, document.querySelector('script[type=module]').src).href;
    const modules = ['../sdk/index.js', './call/call-screen.js', './base/i18n.js'].map((path) => import(at(path)));
    const [{ Call }, { CallScreen }, { loadCatalogue }] = await Promise.all(modules);
    // The page's own script holds these modules once more, with texts of its own.
    await loadCatalogue();
    const call = new Call();
    const joinedAt = new Date().toISOString();
    const peer = (index, changes = {}) => ({
      id: `peer-${index}`, name: index === 0 ? 'Me' : `Person ${index}`, role: 'participant', host: index === 0 && host, joinedAt, microphone: true, camera: false,
      screen: false, hand: false, tracks: [], metadata: null, ...changes,
    });
    const welcome = {
      type: 'welcome', self: peer(0), session: 's', secret: 's', state: 'joined', peers: [], iceServers: [], ttlSeconds: 3600, heartbeatMs: 15_000,
      resumeWindowMs: 30_000, lastId: 1, features,
      room: { id: 'made-up', topology: 'sfu', epoch: 1, locked: false, host: 'peer-0', lobby: false, recording: false, viewers: 0, createdAt: joinedAt, ...room },
    };
    // Nothing is published: it is where things stand on the screen that is looked at.
    call.connections = () => connections;
    const connections = new Map();
    const speaking = new Set();
    call.session.emit('welcome', welcome);
    const event = (one) => call.session.emit('event', one);
    const people = (count) => {
      for (let index = call.peers.length + 1; index < count; index += 1) event({ type: 'peer-joined', peer: peer(index) });
      for (const { id } of call.peers.slice(Math.max(0, count - 1))) event({ type: 'peer-left', peer: id, reason: 'left' });
    };
    const person = (index, changes) => event({ type: 'peer-updated', peer: { ...call.peer(`peer-${index}`), ...changes } });
    const hand = (index, up) => person(index, { hand: up });
    // Somebody is heard by the level that the receiver of their sound tells.
    const sounds = new Map();
    const sound = (id) => {
      if (!sounds.has(id)) {
        const track = new RTCPeerConnection().addTransceiver('audio').receiver.track;
        const source = () => (speaking.has(id) ? [{ audioLevel: 0.5, timestamp: performance.timeOrigin + performance.now(), source: 1, rtpTimestamp: 0 }] : []);
        sounds.set(id, { track, stream: new MediaStream([track]), receiver: { track, getSynchronizationSources: source, getContributingSources: () => [] } });
      }
      return sounds.get(id);
    };
    const speak = (indices) => {
      speaking.clear();
      for (const index of indices) {
        const id = `peer-${index}`;
        speaking.add(id);
        connections.set(id, { getReceivers: () => [sound(id).receiver], getStats: async () => new Map(), iceConnectionState: 'connected' });
      }
    };
    const arrive = (index, figures) => {
      const id = `peer-${index}`;
      const { track } = new RTCPeerConnection().addTransceiver('video').receiver;
      const report = new Map([['in', { type: 'inbound-rtp', kind: 'video', trackIdentifier: track.id, ...figures }]]);
      connections.set(id, { getReceivers: () => [sound(id).receiver], getStats: async () => report, iceConnectionState: 'connected' });
      sound(id).stream.addTrack(track);
      call.emit('media', id);
    };
    call.streams = (id) => (sounds.has(id) || speaking.has(id) ? { main: sound(id).stream, screen: null } : undefined);
    const screen = new CallScreen(call);
    document.getElementById('app').replaceChildren(screen.element);
    window.madeUp = { call, screen, people, person, hand, speak, arrive, event, peer };
  }, { features, room, host });
}
