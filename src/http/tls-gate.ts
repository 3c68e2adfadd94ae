import { Socket } from "node:net";
import { createServer, type TLSSocket } from "node:tls";
import type { Logger } from "../log.ts";
import { contextOptions, type TlsFiles } from "./tls-files.ts";

export interface TlsGateOptions {
  readonly files: TlsFiles;
  /** Clients show a certificate of an authority that is trusted, for use by clients, or are refused (T-1). */
  readonly clientCertRequired: boolean;
  readonly handshakeTimeoutMs: number;
  readonly logger: Logger;
}

/** What OpenSSL says beside its sentence with file and line. */
type TlsError = Error & { readonly code?: string; readonly reason?: string };

/**
 * Gives a function that leads an accepted connection through TLS. `secured` gets it when its handshake has succeeded, with
 * ALPN's choice made (h2 before http/1.1; a client that offers only others is refused); else it is closed, within
 * handshakeTimeoutMs.
 */
export function createTlsGate(
  { files, clientCertRequired, handshakeTimeoutMs, logger }: TlsGateOptions,
  secured: (socket: TLSSocket) => void,
): (connection: Socket) => void {
  let material = files.current();
  const server = createServer(
    {
      ...contextOptions(material),
      ALPNProtocols: ["h2", "http/1.1"],
      requestCert: clientCertRequired,
      rejectUnauthorized: clientCertRequired,
      handshakeTimeout: handshakeTimeoutMs,
    },
    secured,
  );
  server.on("tlsClientError", (error: TlsError, socket) => {
    const fields = { "remote-addr": addressOf(socket), "server-name": socket.servername || "" };
    const { authorizationError } = socket;
    if (authorizationError) {
      const refusal = `the client's certificate is refused: ${authorizationError}`;
      logger.warn({ ...fields, error: refusal }, "rejected connection on client endpoint");
    } else if (error.code === "ECONNRESET" || error.code === "EPIPE") {
      // It hung up: whoever looks whether the port is open does.
      logger.debug({ ...fields, error: error.message }, "client connection ended during its TLS handshake");
    } else {
      logger.warn({ ...fields, error: error.reason ?? error.message }, "rejected connection on client endpoint");
    }
    socket.destroy();
  });
  return (connection) => {
    // Asked for while it is open, it is remembered beyond that: see addressOf.
    void connection.remoteAddress;
    const current = files.current();
    if (current !== material) {
      server.setSecureContext(contextOptions(current));
      material = current;
    }
    server.emit("connection", connection);
  };
}

/**
 * A socket that Node destroyed before it told of the error has no address any more, but the one below it that was
 * accepted remembers it. Node documents no way from one to the other; without it, the log has no address.
 */
function addressOf(socket: TLSSocket): string {
  const below: unknown = Reflect.get(socket, "_parent");
  const { remoteAddress, remotePort } = below instanceof Socket ? below : socket;
  return remoteAddress === undefined ? "" : `${remoteAddress}:${remotePort}`;
}
