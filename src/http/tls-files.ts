import { constants, createPrivateKey, type KeyObject, X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { createSecureContext, type SecureContextOptions } from "node:tls";
import type { Logger } from "../log.ts";

const { SSL_OP_NO_TICKET, SSL_OP_NO_RENEGOTIATION } = constants;

export interface TlsPaths {
  readonly certFile: string;
  readonly keyFile: string;
  readonly trustedCaFile: string | undefined;
}

export interface TlsMaterial {
  readonly cert: Buffer;
  readonly key: Buffer;
  /** Undefined: the authorities that Node brings along. */
  readonly ca: Buffer | undefined;
}

/**
 * The files of a TLS listener, which may be replaced while it listens. Whoever replaces them does so one after the
 * other: as long as they do not fit together, those that did serve on.
 *
 * They are read for each handshake (T-1), and synchronously: local files of a few kilobytes take microseconds, a
 * handshake takes milliseconds, and the threads that would read them otherwise are those that sync the log.
 */
export class TlsFiles {
  readonly #paths: TlsPaths;
  readonly #logger: Logger;
  #material: TlsMaterial;
  /** What was read last, whether or not it was of use. */
  #read: TlsMaterial;
  #failure = "";

  /** Throws for files that cannot serve, and says which and why. */
  constructor(paths: TlsPaths, logger: Logger) {
    this.#paths = paths;
    this.#logger = logger;
    this.#read = readAll(paths);
    check(paths, this.#read);
    this.#material = this.#read;
  }

  /** For a handshake that begins now. The same object as long as nothing changes. */
  current(): TlsMaterial {
    try {
      const read = readAll(this.#paths);
      if (isSame(read, this.#material)) {
        this.#read = this.#material;
        if (this.#failure !== "") this.#logger.info({ ...this.#paths }, "client TLS files are as they were before");
        // Should they go once more, that is news.
        this.#failure = "";
        return this.#material;
      }
      if (isSame(read, this.#read)) return this.#material;
      this.#read = read;
      check(this.#paths, read);
      this.#material = read;
      this.#failure = "";
      this.#logger.info({ ...this.#paths }, "client TLS files have changed and are in use");
    } catch (thrown) {
      const error = textOf(thrown);
      if (error !== this.#failure) {
        this.#logger.warn({ error }, "client TLS files cannot be used; those before them stay in use");
      }
      this.#failure = error;
    }
    return this.#material;
  }
}

/**
 * A session that is resumed brings no certificate that could be checked against the files of today, so none is.
 * Renegotiation costs the client nothing, and no client of ours asks for it.
 */
export function contextOptions({ cert, key, ca }: TlsMaterial): SecureContextOptions {
  const secureOptions = SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION;
  return { cert, key, secureOptions, ...(ca !== undefined && { ca }) };
}

function readAll({ certFile, keyFile, trustedCaFile }: TlsPaths): TlsMaterial {
  return {
    cert: read("cert-file", certFile),
    key: read("key-file", keyFile),
    ca: trustedCaFile === undefined ? undefined : read("trusted-ca-file", trustedCaFile),
  };
}

function read(flag: string, path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (thrown) {
    throw new Error(`cannot read --${flag} ${path}: ${textOf(thrown)}: name a PEM file that this member may read`);
  }
}

function isSame(a: TlsMaterial, b: TlsMaterial): boolean {
  const isSameCa = a.ca === undefined || b.ca === undefined ? a.ca === b.ca : a.ca.equals(b.ca);
  return a.cert.equals(b.cert) && a.key.equals(b.key) && isSameCa;
}

function check({ certFile, keyFile, trustedCaFile }: TlsPaths, material: TlsMaterial): void {
  const [leaf] = certificatesIn("cert-file", certFile, material.cert);
  let key: KeyObject;
  try {
    key = createPrivateKey(material.key);
  } catch (thrown) {
    throw new Error(`--key-file ${keyFile} must hold a private key in PEM, without a pass phrase: ${textOf(thrown)}`);
  }
  if (leaf?.checkPrivateKey(key) !== true) {
    throw new Error(
      `--key-file ${keyFile} does not belong to the first certificate of --cert-file ${certFile}: name a pair`,
    );
  }
  if (trustedCaFile !== undefined && material.ca !== undefined) {
    // OpenSSL takes a file without any for one that trusts nobody, and says nothing.
    certificatesIn("trusted-ca-file", trustedCaFile, material.ca);
  }
  try {
    createSecureContext(contextOptions(material));
  } catch (thrown) {
    throw new Error(`cannot serve TLS with --cert-file ${certFile} and --key-file ${keyFile}: ${textOf(thrown)}`);
  }
}

/** At least one. */
function certificatesIn(flag: string, path: string, pem: Buffer): X509Certificate[] {
  const text = pem.toString("latin1");
  const blocks = text.match(/-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g) ?? [];
  if ((text.match(/-----BEGIN CERTIFICATE-----/g) ?? []).length > blocks.length) {
    // OpenSSL would do without it: a file that is half written would distrust whom it names last.
    throw new Error(`--${flag} ${path} holds a certificate without its end: it must be a PEM file, whole`);
  }
  if (blocks.length === 0) throw new Error(`--${flag} ${path} holds no certificate: it must be a PEM file with one`);
  return blocks.map((block, i) => {
    try {
      return new X509Certificate(block);
    } catch (thrown) {
      throw new Error(`--${flag} ${path}: its certificate number ${i + 1} is damaged: ${textOf(thrown)}`);
    }
  });
}

function textOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown);
}
