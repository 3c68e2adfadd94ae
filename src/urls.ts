/** Whether a URL asks for TLS, however its scheme is spelled (RFC 3986 §3.1). What is no URL does not. */
export function isHttps(url: string): boolean {
  return URL.canParse(url) && new URL(url).protocol === "https:";
}
