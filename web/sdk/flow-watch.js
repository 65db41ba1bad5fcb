const EVERY_MS = 100;
/** Sound arrives fifty times a second; after this long without any packet, in milliseconds, the path is in doubt. */
const SILENT_MS = 500;

/**
 * Watches whether media arrives over connections that carried some: this shows a failed path seconds before the
 * browser reports it.
 */
export class FlowWatch {
  #connections;
  #stopped;
  /** @type {WeakMap<RTCPeerConnection, {newest: number, at: number, flowing: boolean}>} */
  #seen = new WeakMap();
  /** @type {ReturnType<typeof setInterval> | undefined} */
  #timer;

  /**
   * @param {() => Iterable<RTCPeerConnection>} connections
   * @param {() => void} stopped media has stopped arriving
   */
  constructor(connections, stopped) {
    this.#connections = connections;
    this.#stopped = stopped;
  }

  start() {
    this.stop();
    this.#timer = setInterval(() => this.#look(), EVERY_MS);
  }

  stop() {
    clearInterval(this.#timer);
  }

  /**
   * Whether packets arrived recently; true for a connection that never carried any.
   *
   * @param {RTCPeerConnection} connection
   */
  isFlowing(connection) {
    return this.#seen.get(connection)?.flowing ?? true;
  }

  #look() {
    let stopped = false;
    const now = performance.now();
    for (const connection of this.#connections()) {
      const newest = newestOf(connection);
      const seen = this.#seen.get(connection);
      if (newest === 0) continue;
      if (!seen || newest !== seen.newest) {
        this.#seen.set(connection, { newest, at: now, flowing: true });
      } else if (seen.flowing && now - seen.at > SILENT_MS) {
        seen.flowing = false;
        stopped = true;
      }
    }
    if (stopped) this.#stopped();
  }
}

/** When something last arrived, on the connection's own clock; 0 for never. @param {RTCPeerConnection} connection */
function newestOf(connection) {
  if (connection.signalingState === 'closed') return 0;
  const sources = connection.getReceivers().flatMap((receiver) => receiver.getSynchronizationSources?.() ?? []);
  return sources.reduce((newest, { timestamp }) => Math.max(newest, timestamp), 0);
}
