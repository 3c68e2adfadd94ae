/** Protobuf bytes of an unknown type as text, so that two of them can be compared and a difference can be read. */
export function wireText(bytes: Buffer): string | undefined {
  const fields: string[] = [];
  let at = 0;
  const varint = (): bigint | undefined => {
    let value = 0n;
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const byte = bytes[at++];
      if (byte === undefined) return undefined;
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
    return undefined;
  };
  while (at < bytes.length) {
    const tag = varint();
    if (tag === undefined || tag >> 3n === 0n) return undefined;
    const value = varint();
    if (value === undefined) return undefined;
    if ((tag & 7n) === 0n) {
      fields.push(`${tag >> 3n}: ${value}`);
    } else if ((tag & 7n) === 2n) {
      const part = bytes.subarray(at, at + Number(value));
      at += Number(value);
      if (at > bytes.length) return undefined;
      fields.push(`${tag >> 3n}: ${partText(part)}`);
    } else {
      return undefined;
    }
  }
  return fields.join(", ");
}

function partText(part: Buffer): string {
  const text = part.toString("latin1");
  if (/^[\x20-\x7e]*$/.test(text)) return JSON.stringify(text);
  const inner = wireText(part);
  return inner === undefined ? `0x${part.toString("hex")}` : `{ ${inner} }`;
}
