// A server with one port for everything, and relays that open none.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { join, launch, mediaFlows, newPage, newRoom, Server, until } from './harness.mjs';

let server;
let browser;
before(async () => {
  server = await Server.start('--one-port', '--metrics-listen', '127.0.0.1:0');
  browser = await launch();
});
after(async () => {
  await browser?.close();
  await server?.close();
});

/** Leaves every connection of a page the relays over one transport alone. */
function onlyRelaysOver(transport) {
  const Original = window.RTCPeerConnection;
  const narrowed = (configuration) => ({
    ...configuration,
    iceTransportPolicy: 'relay',
    iceServers: (configuration?.iceServers ?? [])
      .map((entry) => ({ ...entry, urls: [entry.urls].flat().filter((url) => url.endsWith(`transport=${transport}`)) }))
      .filter((entry) => entry.urls.length > 0),
  });
  window.RTCPeerConnection = class extends Original {
    constructor(configuration) {
      super(narrowed(configuration));
    }
    setConfiguration(configuration) {
      super.setConfiguration(narrowed(configuration));
    }
  };
}

/** By what the pairs in use of all connections of a page go: `relay over udp to 127.0.0.1:8080`. */
function waysInUse(page) {
  return page.evaluate(async () => {
    const ways = [];
    for (const connection of window.visavis.connections().values()) {
      const stats = await connection.getStats();
      const transport = [...stats.values()].find((report) => report.type === 'transport');
      const pair = stats.get(transport.selectedCandidatePairId);
      const [local, remote] = [stats.get(pair.localCandidateId), stats.get(pair.remoteCandidateId)];
      ways.push(`${local.candidateType} over ${local.relayProtocol ?? local.protocol} to ${remote.candidateType} ${remote.port}`);
    }
    return ways;
  });
}

for (const [name, topology, relays, expected] of [
  ['a room of the media server', 'sfu', null, (port) => new RegExp(`^\\w+ over udp to host ${port}$`)],
  ['a room of the media server by way of the relay', 'sfu', 'tcp', (port) => new RegExp(`^relay over tcp to host ${port}$`)],
  ['a call of two by way of two relays over UDP', 'mesh', 'udp', () => /^relay over udp to (relay|prflx) \d+$/],
  ['a call of two by way of two relays over TCP', 'mesh', 'tcp', () => /^relay over tcp to (relay|prflx) \d+$/],
]) {
  test(name, async () => {
    const room = newRoom();
    const pages = [];
    for (const person of ['Ada', 'Grace']) {
      const page = await newPage(browser);
      if (relays) await page.addInitScript(onlyRelaysOver, relays);
      await join(page, server.url, room, { name: person, topology });
      pages.push(page);
    }
    for (const page of pages) {
      await mediaFlows(page, 1);
      for (const way of await waysInUse(page)) assert.match(way, expected(server.port));
      assert.deepEqual(page.problems, []);
    }
    for (const page of pages) await page.context().close();
  });
}

/** Connects to the media server by WHIP as a client does that knows nothing of this server, with the ICE servers of one source. */
function publish(source, room) {
  return (async () => {
    const headers = { 'Content-Type': 'application/json' };
    const body = JSON.stringify({ type: 'join', room, name: 'Plain' });
    const welcome = await (await fetch('/api/v1/sessions', { method: 'POST', headers, body })).json();
    let { iceServers } = welcome;
    if (source === 'ice-servers') {
      const answer = await fetch('/api/v1/ice-servers', { headers: { Authorization: `Bearer ${welcome.secret}` } });
      ({ iceServers } = await answer.json());
    }
    if (source === 'link') iceServers = [];
    const connection = new RTCPeerConnection({ iceServers });
    for (const track of (await navigator.mediaDevices.getUserMedia({ video: true })).getTracks()) {
      connection.addTransceiver(track, { direction: 'sendonly' });
    }
    const offer = await connection.createOffer();
    const response = await fetch(`/whip/${room}`, { method: 'POST', headers: { 'Content-Type': 'application/sdp' }, body: offer.sdp });
    if (source === 'link') {
      const links = response.headers.get('link').matchAll(/<([^>]+)>; rel="ice-server"(?:; username="([^"]*)"; credential="([^"]*)")?/g);
      iceServers = [...links].map(([, urls, username, credential]) => ({ urls, ...(username && { username, credential }) }));
      connection.setConfiguration({ iceServers });
    }
    await connection.setLocalDescription(offer);
    await connection.setRemoteDescription({ type: 'answer', sdp: await response.text() });
    window.plain = connection;
    return iceServers;
  })();
}

for (const source of ['welcome', 'ice-servers', 'link']) {
  test(`a plain client connects with the servers of ${source}`, async () => {
    const page = await newPage(browser);
    await page.goto(server.url);
    const servers = await page.evaluate(`(${publish})(${JSON.stringify(source)}, ${JSON.stringify(newRoom())})`);
    assert.ok(servers.length > 0, 'there is a relay');
    await until('a connection', () => page.evaluate(() => window.plain.connectionState === 'connected'));
    await page.context().close();
  });
}
