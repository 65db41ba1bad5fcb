/**
 * Reads a `text/event-stream` body. It uses `fetch` instead of `EventSource`, because a secret belongs in a header.
 *
 * @param {ReadableStream<Uint8Array>} body
 * @param {(frame: {id: string, data: string}) => void} onFrame called for every event that has data
 * @returns {Promise<void>} settles at the end of the stream
 */
export async function readEventStream(body, onFrame) {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  let buffer = '';
  let id = '';
  /** @type {string[]} */
  let data = [];
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    buffer += decoder.decode(value, { stream: true });
    for (let end = buffer.indexOf('\n'); end >= 0; end = buffer.indexOf('\n')) {
      const line = buffer.slice(0, end).replace(/\r$/, '');
      buffer = buffer.slice(end + 1);
      if (line === '') {
        if (data.length > 0) onFrame({ id, data: data.join('\n') });
        data = [];
        id = '';
        continue;
      }
      const [, field = '', text = ''] = /^([^:]*)(?:: ?(.*))?$/s.exec(line) ?? [];
      if (field === 'data') data.push(text);
      else if (field === 'id') id = text;
    }
  }
}
