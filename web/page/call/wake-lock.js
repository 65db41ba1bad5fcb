/** Keeps the screen of a phone on during a call. */
export class WakeLock {
  /** @type {WakeLockSentinel | null} */
  #sentinel = null;
  #wanted = true;
  #again = () => void this.#request();

  constructor() {
    // The system releases the lock whenever the page is hidden.
    document.addEventListener('visibilitychange', this.#again);
    void this.#request();
  }

  release() {
    this.#wanted = false;
    document.removeEventListener('visibilitychange', this.#again);
    void this.#sentinel?.release().catch(() => {});
  }

  async #request() {
    if (!this.#wanted || document.visibilityState !== 'visible' || !('wakeLock' in navigator)) return;
    try {
      this.#sentinel = await navigator.wakeLock.request('screen');
      if (!this.#wanted) await this.#sentinel.release();
    } catch {
      // The browser refuses it, for example at low battery; the call continues without the lock.
    }
  }
}
