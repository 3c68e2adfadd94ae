import type { IncomingMessage, RequestListener, ServerResponse } from "node:http";
import type { Socket } from "node:net";

type Start = () => void;

/**
 * Serves one request of a connection at a time. HTTP/1 lets a client send the next ones before it has its answers, and
 * Node hands over each as it comes, so that one connection could have any number under way: here they wait, unread as far
 * as can be. A connection with more than `maxWaiting` (what one read brought together counts as well) is ended; no known
 * client sends even two.
 */
export function oneAtATime(maxWaiting: number, serve: RequestListener): RequestListener {
  /** Connections with a request under way, and what waits for it. */
  const busy = new WeakMap<Socket, Start[]>();

  function begin(socket: Socket, start: Start, response: ServerResponse): void {
    response.once("close", () => {
      const waiting = busy.get(socket) ?? [];
      const next = socket.destroyed ? undefined : waiting.shift();
      if (next !== undefined) {
        next();
        return;
      }
      busy.delete(socket);
      if (socket.isPaused()) socket.resume();
    });
    start();
  }

  return (request: IncomingMessage, response: ServerResponse) => {
    const { socket } = request;
    // Of a read that brought too many.
    if (socket.destroyed) return;
    const start = (): void => serve(request, response);
    const waiting = busy.get(socket);
    if (waiting === undefined) {
      busy.set(socket, []);
      begin(socket, start, response);
    } else if (waiting.length === maxWaiting) {
      socket.destroy();
    } else {
      socket.pause();
      waiting.push(() => begin(socket, start, response));
    }
  };
}
