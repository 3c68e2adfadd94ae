/** Which of a member's URLs to try: the one that worked last, until it fails. */
export class UrlPicker {
  #urls: readonly string[];
  #at = 0;

  constructor(urls: readonly string[]) {
    this.#urls = urls;
  }

  update(urls: readonly string[]): void {
    if (urls.length === this.#urls.length && urls.every((url, i) => url === this.#urls[i])) return;
    this.#urls = urls;
    this.#at = 0;
  }

  current(): string | undefined {
    return this.#urls[this.#at];
  }

  /** All of them, the current one first. */
  inOrder(): readonly string[] {
    return [...this.#urls.slice(this.#at), ...this.#urls.slice(0, this.#at)];
  }

  /** A late report about a URL that is no longer the current one changes nothing. */
  failed(url: string): void {
    if (url === this.#urls[this.#at]) this.#at = (this.#at + 1) % this.#urls.length;
  }
}
