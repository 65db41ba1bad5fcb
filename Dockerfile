# The server in an image: docker build -t visavis . && docker run --network host -v visavis:/data visavis
#
# The host's network serves media best: every address and port is the machine's own. docs/operators.md has the ports to
# publish where that is not wanted.
ARG BUILD_IMAGE=docker.io/library/rust:1-slim-bookworm
ARG RUN_IMAGE=docker.io/library/debian:bookworm-slim

FROM ${BUILD_IMAGE} AS build
RUN command -v cc >/dev/null || { apt-get update -q && apt-get install -qy --no-install-recommends gcc g++ libc6-dev; }
WORKDIR /source
COPY . .
RUN cargo build --release --locked -p server-bin

FROM ${RUN_IMAGE}
COPY --from=build /source/target/release/visavis /usr/local/bin/visavis
# A folder that belongs to the server's user, so that a new volume does too.
RUN install -d -o 65532 -g 65532 -m 0700 /data
USER 65532:65532
ENV VISAVIS_DATA_DIR=/data
VOLUME /data
EXPOSE 8080/tcp 8080/udp 3478/tcp 3478/udp
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/local/bin/visavis"]
