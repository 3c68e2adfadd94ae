# One member of Quorate. Any image with Node 20.19+ and npm on a glibc can be the base: where no registry can be reached,
# scripts/base-image.sh makes one.
ARG BASE_IMAGE=node:24-slim

FROM ${BASE_IMAGE} AS production
WORKDIR /quorate
COPY package.json package-lock.json ./
RUN npm ci --omit=dev --no-audit --no-fund

FROM ${BASE_IMAGE} AS build
WORKDIR /quorate
COPY package.json package-lock.json ./
RUN npm ci --no-audit --no-fund
COPY . .
# Files keep the mode that they had in the clone, which may be for their owner's eyes only.
RUN npm run build && chmod -R a+rX bin dist package.json README.md LICENSE

FROM ${BASE_IMAGE}
LABEL org.opencontainers.image.title="Quorate" \
      org.opencontainers.image.description="A strongly consistent key-value store that speaks etcd's v3 API" \
      org.opencontainers.image.licenses="Apache-2.0"
# A fresh volume takes over mode and owner of the directory it is mounted on. By number, so that every base will do.
RUN mkdir -m 0700 /data && chown 1000:1000 /data && ln -s /quorate/bin/quorate /usr/local/bin/quorate
COPY --from=production /quorate/node_modules /quorate/node_modules
COPY --from=build /quorate/bin /quorate/bin
COPY --from=build /quorate/dist /quorate/dist
COPY --from=build /quorate/package.json /quorate/README.md /quorate/LICENSE /quorate/
ENV NODE_ENV=production \
    ETCD_DATA_DIR=/data \
    ETCD_LISTEN_CLIENT_URLS=http://0.0.0.0:2379 \
    ETCD_ADVERTISE_CLIENT_URLS=http://127.0.0.1:2379 \
    ETCD_LISTEN_PEER_URLS=http://0.0.0.0:2380
USER 1000:1000
VOLUME /data
EXPOSE 2379 2380
# Healthy: this member reaches a quorum (a linearizable read). A long log takes its time to be read at a start.
HEALTHCHECK --interval=5s --timeout=10s --start-period=300s --retries=3 \
  CMD ["node", "-e", "const { port } = new URL(process.env.ETCD_LISTEN_CLIENT_URLS.split(',')[0]); fetch(`http://127.0.0.1:${port}/health`).then(async (r) => { console.log(await r.text()); process.exitCode = r.ok ? 0 : 1; })"]
STOPSIGNAL SIGTERM
# No shell in between: SIGTERM reaches the member, which hands its leadership over before it ends.
ENTRYPOINT ["node", "--min-semi-space-size=16", "--max-semi-space-size=32", "--use-largepages=silent", "/quorate/bin/quorate"]
