# Builds the binary, then leaves everything but the binary behind.
FROM rust:1-slim-bookworm AS build
WORKDIR /src
# A C compiler for the crates that bring C sources.
RUN apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev && rm -rf /var/lib/apt/lists/*
COPY . .
RUN cargo build --locked --profile dist --bin socketqueue

FROM debian:bookworm-slim
# tzdata: DE 12 is local time, so the container must know the terminals' zone (TZ, or the timezone option).
RUN apt-get update && apt-get install -y --no-install-recommends tzdata && rm -rf /var/lib/apt/lists/* \
    && useradd --system --create-home --home-dir /var/lib/socketqueue --uid 8583 socketqueue
COPY --from=build /src/target/dist/socketqueue /usr/local/bin/socketqueue
COPY --from=build /src/sample_payloads /usr/share/socketqueue/sample_payloads
USER socketqueue
# What has to survive the container lies in the working directory: the journal (socketqueue-PORT.journal, its -wal and its
# .key). On a local disk; a network file system is refused.
WORKDIR /var/lib/socketqueue
VOLUME /var/lib/socketqueue
# TERM drains: in flight gets its answer, reversals a try. Give it more than drainTimeout (40 s):
# docker run --stop-timeout 45.
STOPSIGNAL SIGTERM
ENTRYPOINT ["socketqueue"]
