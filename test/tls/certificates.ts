import { createHash, generateKeyPairSync, type KeyObject, randomBytes, sign } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** X.509 (RFC 5280) as far as tests need it: Node makes keys and signatures, but no certificates. */
export interface Certificate {
  readonly name: string;
  readonly cert: string;
  readonly key: string;
}

export interface Authority extends Certificate {
  /** Signs a certificate with a key of its own for 127.0.0.1, ::1 and localhost. */
  issue(name: string, use: "serverAuth" | "clientAuth", days?: number): Certificate;
}

const OID = {
  commonName: [0x55, 4, 3],
  basicConstraints: [0x55, 0x1d, 0x13],
  keyIdentifier: [0x55, 0x1d, 0x0e],
  keyUsage: [0x55, 0x1d, 0x0f],
  authorityKeyIdentifier: [0x55, 0x1d, 0x23],
  subjectAltName: [0x55, 0x1d, 0x11],
  extendedKeyUsage: [0x55, 0x1d, 0x25],
  ecdsaWithSha256: [0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2],
  serverAuth: [0x2b, 6, 1, 5, 5, 7, 3, 1],
  clientAuth: [0x2b, 6, 1, 5, 5, 7, 3, 2],
} as const;

const DAY_MS = 86_400_000;

function der(tag: number, ...parts: (Uint8Array | readonly number[])[]): Buffer {
  const body = Buffer.concat(parts.map((part) => Uint8Array.from(part)));
  const { length } = body;
  const head = length < 0x80 ? [length] : length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.from([tag, ...head]), body]);
}

const sequence = (...parts: Buffer[]): Buffer => der(0x30, ...parts);
const oid = (name: keyof typeof OID): Buffer => der(0x06, OID[name]);
const bits = (bytes: Buffer): Buffer => der(0x03, [0], bytes);
const utc = (at: number): Buffer =>
  der(
    0x17,
    Buffer.from(
      `${new Date(at)
        .toISOString()
        .replaceAll(/[-:T]|\.\d+/g, "")
        .slice(2)}`,
    ),
  );
const named = (name: string): Buffer => sequence(der(0x31, sequence(oid("commonName"), der(0x0c, Buffer.from(name)))));
const extension = (name: keyof typeof OID, value: Buffer): Buffer => sequence(oid(name), der(0x04, value));
const critical = (name: keyof typeof OID, value: Buffer): Buffer =>
  sequence(oid(name), der(0x01, [0xff]), der(0x04, value));
const pem = (label: string, bytes: Buffer): string =>
  `-----BEGIN ${label}-----\n${bytes.toString("base64").replaceAll(/.{64}/g, "$&\n").trimEnd()}\n-----END ${label}-----\n`;

interface Signer {
  readonly name: string;
  readonly key: KeyObject;
  readonly keyId: Buffer;
}

function keyPair(): { readonly key: KeyObject; readonly spki: Buffer; readonly keyId: Buffer } {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const spki = publicKey.export({ type: "spki", format: "der" });
  return { key: privateKey, spki, keyId: createHash("sha1").update(spki).digest() };
}

function signed(name: string, spki: Buffer, issuer: Signer, days: number, extensions: readonly Buffer[]): string {
  const algorithm = sequence(oid("ecdsaWithSha256"));
  const now = Date.now();
  const serial = Buffer.concat([Buffer.from([0x40]), randomBytes(8)]);
  const body = sequence(
    der(0xa0, der(0x02, [2])),
    der(0x02, serial),
    algorithm,
    named(issuer.name),
    sequence(utc(now - 2 * DAY_MS), utc(now + days * DAY_MS)),
    named(name),
    spki,
    der(0xa3, sequence(...extensions, extension("authorityKeyIdentifier", sequence(der(0x80, issuer.keyId))))),
  );
  return pem("CERTIFICATE", sequence(body, algorithm, bits(sign("sha256", body, issuer.key))));
}

const exported = (key: KeyObject): string => key.export({ type: "pkcs8", format: "pem" }).toString();

export function createAuthority(name = "test authority"): Authority {
  const { key, spki, keyId } = keyPair();
  const self = { name, key, keyId };
  const cert = signed(name, spki, self, 30, [
    critical("basicConstraints", sequence(der(0x01, [0xff]))),
    // keyCertSign and cRLSign.
    critical("keyUsage", der(0x03, [1, 0x06])),
    extension("keyIdentifier", der(0x04, keyId)),
  ]);
  return {
    name,
    cert,
    key: exported(key),
    issue(subject, use, days = 30) {
      const own = keyPair();
      const places = sequence(
        der(0x82, Buffer.from("localhost")),
        der(0x87, [127, 0, 0, 1]),
        der(0x87, [...Buffer.alloc(15), 1]),
      );
      const leaf = signed(subject, own.spki, self, days, [
        extension("subjectAltName", places),
        extension("extendedKeyUsage", sequence(oid(use))),
      ]);
      return { name: subject, cert: leaf, key: exported(own.key) };
    },
  };
}

/** Files in a directory of their own. */
export class CertificateFiles {
  readonly directory = mkdtempSync(join(tmpdir(), "quorate-tls-"));

  /** Writes NAME.crt and NAME.key. */
  write(name: string, { cert, key }: Certificate): { readonly cert: string; readonly key: string } {
    return { cert: this.text(`${name}.crt`, cert), key: this.text(`${name}.key`, key) };
  }

  remove(): void {
    rmSync(this.directory, { recursive: true, force: true });
  }

  text(file: string, content: string): string {
    const path = join(this.directory, file);
    writeFileSync(path, content, { mode: 0o600 });
    return path;
  }
}
