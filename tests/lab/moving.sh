#!/usr/bin/env bash
# A server and two clients in network namespaces, of which the clients can be given other addresses.
#
#   clientA 198.18.1.x --+
#                        +-- server 198.18.0.1, which routes between the two
#   clientB 198.18.2.x --+
#
#   tests/lab/moving.sh up PREFIX
#   tests/lab/moving.sh move PREFIX A|B NUMBER     to the address that ends with NUMBER (2 to 254)
#   tests/lab/moving.sh down PREFIX
#
# Needs root and iproute2. Every namespace is called PREFIX-something.
set -euo pipefail

usage() { sed -n '2,11s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2; exit 2; }

down() {
    local ns
    for ns in clientA clientB server; do ip netns del "$1-$ns" 2>/dev/null || true; done
}

up() {
    local p=$1 ns side net
    for ns in clientA clientB server; do
        ip netns add "$p-$ns"
        ip -n "$p-$ns" link set lo up
    done
    ip -n "$p-server" address add 198.18.0.1/32 dev lo
    ip netns exec "$p-server" sysctl -qw net.ipv4.ip_forward=1
    for side in A B; do
        net=198.18.$([[ $side = A ]] && echo 1 || echo 2)
        ip link add "to$side" netns "$p-server" type veth peer name eth0 netns "$p-client$side"
        # Link-local addresses turn valid later, which browsers would take for a change of network.
        ip -n "$p-server" link set "to$side" addrgenmode none
        ip -n "$p-client$side" link set eth0 addrgenmode none
        ip -n "$p-server" address add "$net.1/24" dev "to$side"
        ip -n "$p-server" link set "to$side" up
        ip -n "$p-client$side" link set eth0 up
        move "$p" "$side" 2
    done
}

# What a client loses with its address: the route too, and every connection.
move() {
    local ns=$1-client$2 net=198.18.$([[ $2 = A ]] && echo 1 || echo 2)
    ip -n "$ns" -batch - <<COMMANDS
address flush dev eth0
address add $net.$3/24 dev eth0
route add default via $net.1
COMMANDS
}

case ${1:-} in
    up) [[ $# -eq 2 ]] || usage; down "$2"; up "$2" ;;
    move) [[ $# -eq 4 ]] || usage; move "$2" "$3" "$4" ;;
    down) [[ $# -eq 2 ]] || usage; down "$2" ;;
    *) usage ;;
esac
