import { TlsFiles } from "../../src/http/tls-files.ts";
import type { Logger } from "../../src/log.ts";
import { type Authority, type Certificate, CertificateFiles, createAuthority } from "./certificates.ts";

/** What a test needs for a port behind TLS and for clients that are let in there. */
export interface Secured {
  readonly authority: Authority;
  readonly files: CertificateFiles;
  readonly paths: { readonly certFile: string; readonly keyFile: string; readonly trustedCaFile: string };
  /** Of a client. */
  readonly client: Certificate;
  open(logger: Logger): TlsFiles;
}

export function createSecured(): Secured {
  const authority = createAuthority();
  const files = new CertificateFiles();
  const server = files.write("server", authority.issue("server", "serverAuth"));
  const trustedCaFile = files.text("ca.crt", authority.cert);
  const paths = { certFile: server.cert, keyFile: server.key, trustedCaFile };
  const client = authority.issue("client", "clientAuth");
  return { authority, files, paths, client, open: (logger) => new TlsFiles(paths, logger) };
}
