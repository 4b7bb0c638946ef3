// What the page carries packed: base64 of zlib in an element, or bytes that its server has under the element's address.
"use strict";

(() => {
  async function packedBytes(element) {
    if (element.dataset.src) {
      const answer = await fetch(element.dataset.src + location.search);
      if (!answer.ok) throw new Error(await answer.text());
      return answer.arrayBuffer();
    }
    const text = atob(element.textContent), bytes = new Uint8Array(text.length);
    for (let i = 0; i < bytes.length; i += 1) bytes[i] = text.charCodeAt(i);
    return bytes;
  }

  async function inflate(element) {
    const packed = await packedBytes(element);
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
    return new Uint8Array(await new Response(stream).arrayBuffer());
  }

  // A 4-byte length, a JSON header, then every column as byte planes: all lowest bytes, all next bytes, …
  function columnsOf(bytes) {
    const length = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true);
    const head = JSON.parse(new TextDecoder().decode(bytes.subarray(4, 4 + length)));
    let at = 4 + length;
    const columns = {};
    for (const [key, count, width] of head.columns) {
      const values = new Float64Array(count);
      for (let plane = 0, scale = 1; plane < width; plane += 1, scale *= 256) {
        for (let i = 0; i < count; i += 1) values[i] += bytes[at + i] * scale;
        at += count;
      }
      columns[key] = values;
    }
    return { head, columns };
  }

  Object.assign(window.traceReport, { inflate, columnsOf });
})();
