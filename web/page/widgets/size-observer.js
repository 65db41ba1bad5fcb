/**
 * Calls back whenever an element may have another size, and once at the beginning.
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
  // What else changes sizes, a side panel for example, is followed by the next change of the window alone.
  addEventListener('resize', changed);
  const first = requestAnimationFrame(changed);
  return () => {
    removeEventListener('resize', changed);
    cancelAnimationFrame(first);
  };
}
