// Bytes as text that gzip makes no more of than of the bytes themselves (hexadecimal: 10 % more, base64: 35 %): one character for the
// 92 byte values around 0, of which code is mostly made, and two for the others.

const ONES = 92;
/** Of a string's printable characters, from the first after the quotation mark on. */
const FIRST = 35;
/** The opcodes of SIMD, 253, are of the ones too. */
const TURN = 4;

export function encode(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => {
    const turned = (byte + TURN) % 256;
    const one = String.fromCharCode(FIRST + (turned % ONES));
    return turned < ONES ? one : ' !'[Math.floor(turned / ONES) - 1] + one;
  }).join('');
}

export function decode(text: string): Uint8Array<ArrayBuffer> {
  const bytes: number[] = [];
  for (let at = 0; at < text.length; at++) {
    let more = 0;
    if (text[at] === ' ') more = ONES;
    if (text[at] === '!') more = 2 * ONES;
    if (more) at++;
    bytes.push(text.charCodeAt(at) - FIRST + more - TURN);
  }
  return new Uint8Array(bytes);
}
