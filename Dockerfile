# `coterie` in a small image, not as root: docs/operating.md, "In a container".
#
#   docker build -t coterie .
#   docker run --env-file .env -p 3000:3000 -v coterie:/data coterie

FROM rust:1.95-bookworm AS build
WORKDIR /source
COPY . .
RUN cargo build --locked --profile serve --package gateway --bin coterie

FROM debian:bookworm-slim
RUN apt-get update && apt-get install --yes --no-install-recommends ca-certificates && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --home-dir /data --create-home coterie
COPY --from=build /source/target/serve/coterie /usr/local/bin/coterie
USER 10001
WORKDIR /data
VOLUME /data
# A container is reached from outside of it: PUBLIC_URL is needed too.
ENV LISTEN=0.0.0.0 LOG_FORMAT=json
EXPOSE 3000
STOPSIGNAL SIGTERM
ENTRYPOINT ["coterie"]
CMD ["serve", "--uploads", "/data/uploads"]
