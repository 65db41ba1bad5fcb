// A wire between two network namespaces: a bottleneck with a drop-tail queue, then a delay, and random loss before both.
// It connects two TAP devices that it creates, since not every kernel has a queueing discipline for delay and loss (netem).
//
//   wire LOG SEED  NS_A IF_A NS_B IF_B
//
// It prints "ready", and then reads commands, one in a line:
//
//   set DIR RATE_KBIT QUEUE_MS DELAY_MS LOSS_PER_MILLE      DIR: 0 from A to B, 1 from B to A; a rate of 0 is no bottleneck
//
// It ends with its standard input. LOG receives a line for each UDP packet:
//
//   TIME_MICROS DIR BYTES FIRST_BYTE SECOND_BYTE SEQUENCE SSRC FATE
//
// TIME_MICROS is the wall clock at the arrival; the fields from FIRST_BYTE to SSRC are where RTP has them, and FATE is the
// wait at the bottleneck in microseconds (without the packet's own transmission), or "lost", or "full".
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

enum { SLOTS = 1 << 14, LARGEST = 2048, HEADERS = 14 + 20 + 8 };

struct packet {
    int64_t arrived; // wall clock, microseconds
    int64_t queued;  // the remaining times are of the monotonic clock, in nanoseconds
    int64_t due;
    int length;
    unsigned char bytes[LARGEST];
};

// A queue of packets; `first` and `end` only grow.
struct fifo {
    struct packet *slots;
    uint64_t first, end;
};

struct direction {
    int from, to;
    double rate; // bits per second
    int64_t queue, delay; // nanoseconds
    double loss;
    struct fifo waiting;  // before the bottleneck
    struct fifo flying;   // behind it
    int64_t bytes;        // waiting
    int64_t free_at;      // when the bottleneck has sent its packet
};

static FILE *record;

static int64_t nanos(clockid_t clock) {
    struct timespec time;
    clock_gettime(clock, &time);
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

static uint64_t state;

// xorshift64*, a share of one.
static double chance(void) {
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return (double)((state * 0x2545F4914F6CDD1DULL) >> 11) / 9007199254740992.0;
}

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static int tap(const char *space, const char *name) {
    char path[256];
    snprintf(path, sizeof path, "/var/run/netns/%s", space);
    int ns = open(path, O_RDONLY | O_CLOEXEC);
    if (ns < 0 || setns(ns, CLONE_NEWNET) != 0) fail(space);
    close(ns);
    int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    struct ifreq request = { .ifr_flags = IFF_TAP | IFF_NO_PI };
    strncpy(request.ifr_name, name, IFNAMSIZ - 1);
    if (fd < 0 || ioctl(fd, TUNSETIFF, &request) != 0) fail(name);
    return fd;
}

static int is_empty(const struct fifo *fifo) { return fifo->first == fifo->end; }
static int is_full(const struct fifo *fifo) { return fifo->end - fifo->first == SLOTS; }
static struct packet *head(struct fifo *fifo) { return &fifo->slots[fifo->first % SLOTS]; }
static struct packet *next(struct fifo *fifo) { return &fifo->slots[fifo->end % SLOTS]; }

static void tell(const struct packet *packet, int direction, const char *fate, int64_t wait) {
    const unsigned char *at = packet->bytes;
    // IPv4 without options, UDP.
    if (packet->length < HEADERS + 12 || at[12] != 8 || at[13] != 0 || at[14] != 0x45 || at[23] != 17) return;
    const unsigned char *rtp = at + HEADERS;
    uint32_t ssrc = (uint32_t)rtp[8] << 24 | (uint32_t)rtp[9] << 16 | (uint32_t)rtp[10] << 8 | rtp[11];
    fprintf(record, "%lld %d %d %d %d %d %u ", (long long)packet->arrived, direction, packet->length, rtp[0], rtp[1], rtp[2] << 8 | rtp[3], ssrc);
    if (fate) fprintf(record, "%s\n", fate);
    else fprintf(record, "%lld\n", (long long)wait / 1000);
}

static void take(struct direction *direction, int number, int64_t now) {
    for (int count = 0; count < 64; count++) {
        struct packet *packet = next(&direction->waiting);
        struct packet spare;
        if (is_full(&direction->waiting)) packet = &spare;
        packet->length = (int)read(direction->from, packet->bytes, LARGEST);
        if (packet->length <= 0) return;
        packet->arrived = nanos(CLOCK_REALTIME) / 1000;
        packet->queued = now;
        double room = direction->rate > 0 ? direction->rate * (double)direction->queue / 8e9 : 1e12;
        if (direction->loss > 0 && chance() < direction->loss) tell(packet, number, "lost", 0);
        else if (packet == &spare || (double)direction->bytes > room) tell(packet, number, "full", 0);
        else {
            direction->bytes += packet->length;
            direction->waiting.end++;
        }
    }
}

// Moves packets on whose time has come; returns the time of the next one.
static int64_t serve(struct direction *direction, int number, int64_t now) {
    while (!is_empty(&direction->waiting) && direction->free_at <= now && !is_full(&direction->flying)) {
        struct packet *packet = head(&direction->waiting), *flying = next(&direction->flying);
        int64_t begins = direction->free_at > packet->queued ? direction->free_at : packet->queued;
        if (direction->rate > 0) direction->free_at = begins + (int64_t)(packet->length * 8e9 / direction->rate);
        tell(packet, number, NULL, begins - packet->queued);
        direction->bytes -= packet->length;
        direction->waiting.first++;
        *flying = *packet;
        flying->due = (direction->rate > 0 ? direction->free_at : begins) + direction->delay;
        direction->flying.end++;
    }
    while (!is_empty(&direction->flying) && head(&direction->flying)->due <= now) {
        struct packet *packet = head(&direction->flying);
        // The other side may be down for a moment.
        if (write(direction->to, packet->bytes, (size_t)packet->length) < 0 && errno != EAGAIN && errno != EIO) fail("write");
        direction->flying.first++;
    }
    int64_t then = INT64_MAX;
    if (!is_empty(&direction->waiting)) then = direction->free_at;
    if (!is_empty(&direction->flying) && head(&direction->flying)->due < then) then = head(&direction->flying)->due;
    return then;
}

static void obey(struct direction directions[2], char *line) {
    int number;
    double rate, queue, delay, loss;
    if (sscanf(line, "set %d %lf %lf %lf %lf", &number, &rate, &queue, &delay, &loss) != 5 || number < 0 || number > 1) {
        fprintf(stderr, "not a command: %s", line);
        exit(2);
    }
    struct direction *direction = &directions[number];
    direction->rate = rate * 1000;
    direction->queue = (int64_t)(queue * 1e6);
    direction->delay = (int64_t)(delay * 1e6);
    direction->loss = loss / 1000;
}

int main(int count, char **words) {
    if (count != 7) {
        fprintf(stderr, "usage: wire LOG SEED NS_A IF_A NS_B IF_B\n");
        return 2;
    }
    record = fopen(words[1], "w");
    if (!record) fail(words[1]);
    state = strtoull(words[2], NULL, 10) * 0x9E3779B97F4A7C15ULL + 1;
    int ends[2] = { tap(words[3], words[4]), tap(words[5], words[6]) };
    struct direction directions[2] = { { .from = ends[0], .to = ends[1] }, { .from = ends[1], .to = ends[0] } };
    for (int number = 0; number < 2; number++) {
        directions[number].waiting.slots = calloc(SLOTS, sizeof(struct packet));
        directions[number].flying.slots = calloc(SLOTS, sizeof(struct packet));
    }
    // The wire is the measuring device, so it goes first.
    struct sched_param first = { .sched_priority = 10 };
    sched_setscheduler(0, SCHED_FIFO, &first);
    prctl(PR_SET_TIMERSLACK, 1000UL);
    printf("ready\n");
    fflush(stdout);
    char line[256];
    size_t filled = 0;
    for (;;) {
        int64_t now = nanos(CLOCK_MONOTONIC), then = now + 1000000000;
        for (int number = 0; number < 2; number++) {
            int64_t at = serve(&directions[number], number, now);
            if (at < then) then = at;
        }
        int64_t wait = then - nanos(CLOCK_MONOTONIC);
        if (wait < 0) wait = 0;
        struct timespec timeout = { wait / 1000000000, wait % 1000000000 };
        struct pollfd ready[3] = { { ends[0], POLLIN, 0 }, { ends[1], POLLIN, 0 }, { 0, POLLIN, 0 } };
        if (ppoll(ready, 3, &timeout, NULL) < 0 && errno != EINTR) fail("ppoll");
        now = nanos(CLOCK_MONOTONIC);
        for (int number = 0; number < 2; number++)
            if (ready[number].revents & POLLIN) take(&directions[number], number, now);
        if (ready[2].revents & (POLLIN | POLLHUP)) {
            ssize_t got = read(0, line + filled, sizeof line - filled - 1);
            if (got <= 0) break;
            filled += (size_t)got;
            line[filled] = 0;
            char *rest = line, *end;
            while ((end = strchr(rest, '\n'))) {
                *end = 0;
                obey(directions, rest);
                rest = end + 1;
            }
            filled = strlen(rest);
            memmove(line, rest, filled + 1);
        }
    }
    fclose(record);
    return 0;
}
