/**
 * Calls back whenever the size of an element may have changed, and once at the beginning.
 *
 * @param {Element} element
 * @param {() => void} changed
 * @returns {() => void} ends it
 */
export function observeSize(element, changed) {
  if (typeof ResizeObserver === 'function') {
    const observer = new ResizeObserver(changed);
    observer.observe(element);
    return () => observer.disconnect();
  }
  // Other causes, a side panel for example, are noticed only at the next resize of the window.
  addEventListener('resize', changed);
  const first = requestAnimationFrame(changed);
  return () => {
    removeEventListener('resize', changed);
    cancelAnimationFrame(first);
  };
}
