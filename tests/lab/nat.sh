#!/usr/bin/env bash
# Two clients behind NATs of their own and a server on the "internet" between them, in network namespaces.
#
#   clientA 10.1.0.2 -- natA 10.1.0.1 | 203.0.113.11 --+
#                                                      +-- internet (a bridge) -- server 203.0.113.100 and .101
#   clientB 10.2.0.2 -- natB 10.2.0.1 | 203.0.113.22 --+
#
#   tests/lab/nat.sh up PREFIX KIND_A KIND_B     kinds: full, address, port, symmetric (RFC 4787's mapping and filtering)
#   tests/lab/nat.sh down PREFIX
#
# Needs root, iproute2 and nftables. Every namespace is called PREFIX-something.
set -euo pipefail

usage() { sed -n '2,11s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2; exit 2; }
# Without a link-local address, which turns valid later: browsers drop what they load when networks change.
cable_up() { ip -n "$1" link set "$2" addrgenmode none; ip -n "$1" link set "$2" up; }
in_ns() { local ns=$1; shift; ip netns exec "$ns" "$@"; }

# How each kind maps the client's ports, and whom it lets in.
rules() { # namespace kind public client
    local ns=$1 kind=$2 public=$3 client=$4 keep_port random_port closed
    keep_port="chain post {
        type nat hook postrouting priority 100
        oif \"wan\" ip saddr $client snat to $public
    }"
    random_port="chain post {
        type nat hook postrouting priority 100
        oif \"wan\" ip saddr $client masquerade random,fully-random
    }"
    # What nobody behind the NAT asked for is not for the NAT either.
    closed='table ip filter {
        chain input {
            type filter hook input priority 0
            iif "wan" udp dport 1024-65535 ct state new drop
            iif "wan" tcp dport 1024-65535 ct state new drop
        }
    }'
    case $kind in
        full) # one mapping for all, anybody may answer
            closed=
            set -- "chain pre {
                type nat hook prerouting priority -100
                iif \"wan\" ip daddr $public udp dport 1024-65535 dnat to $client
            }" "$keep_port" ;;
        address) # one mapping for all, addresses that were spoken to may answer from any port
            set -- "set spoken_to {
                type ipv4_addr . inet_service
                flags dynamic,timeout
                timeout 60s
                size 65535
            }" "chain learn {
                type filter hook forward priority -1
                oif \"wan\" ip saddr $client meta l4proto udp update @spoken_to { ip daddr . udp sport }
            }" "chain pre {
                type nat hook prerouting priority -100
                iif \"wan\" ip daddr $public udp dport 1024-65535 ip saddr . udp dport @spoken_to dnat to $client
            }" "$keep_port" ;;
        port) # one mapping for all, only who was spoken to may answer: plain connection tracking
            set -- "$keep_port" ;;
        symmetric) # another port for every destination
            set -- "$random_port" ;;
        *) usage ;;
    esac
    { echo 'table ip nat {'; printf '%s\n' "$@"; printf '}\n%s\n' "$closed"; } | in_ns "$ns" nft -f -
}

up() { # prefix kind_a kind_b
    local p=$1 ns
    for ns in clientA natA internet natB clientB server; do
        ip netns add "$p-$ns"
        ip -n "$p-$ns" link set lo up
    done
    ip -n "$p-internet" link add bridge0 type bridge
    ip -n "$p-internet" link set bridge0 up
    # The internet swallows what it has no route for; without a route a send would fail at once, as it never does there.
    ip -n "$p-internet" address add 203.0.113.1/24 dev bridge0
    in_ns "$p-internet" sysctl -qw net.ipv4.ip_forward=0
    local port=0 host
    for host in natA=203.0.113.11 natB=203.0.113.22 server=203.0.113.100; do
        ns=$p-${host%%=*}
        port=$((port + 1))
        ip link add wan netns "$ns" type veth peer name "port$port" netns "$p-internet"
        ip -n "$p-internet" link set "port$port" master bridge0 up
        ip -n "$ns" address add "${host##*=}/24" dev wan
        cable_up "$ns" wan
        ip -n "$ns" route add default via 203.0.113.1
    done
    ip -n "$p-server" address add 203.0.113.101/24 dev wan
    local side net
    for side in A=1 B=2; do
        net=10.${side##*=}.0
        side=${side%%=*}
        ip link add lan netns "$p-nat$side" type veth peer name eth0 netns "$p-client$side"
        ip -n "$p-nat$side" address add "$net.1/24" dev lan
        cable_up "$p-nat$side" lan
        ip -n "$p-client$side" address add "$net.2/24" dev eth0
        cable_up "$p-client$side" eth0
        ip -n "$p-client$side" route add default via "$net.1"
        in_ns "$p-nat$side" sysctl -qw net.ipv4.ip_forward=1
    done
    rules "$p-natA" "$2" 203.0.113.11 10.1.0.2
    rules "$p-natB" "$3" 203.0.113.22 10.2.0.2
}

down() {
    local ns
    for ns in clientA natA internet natB clientB server; do
        ip netns del "$1-$ns" 2>/dev/null || true
    done
}

case ${1:-} in
    up) [[ $# -eq 4 ]] || usage; down "$2"; up "$2" "$3" "$4" ;;
    down) [[ $# -eq 2 ]] || usage; down "$2" ;;
    *) usage ;;
esac
