/* The load generator: N callers over a few connections, each with one call in flight, for a while.
 *
 * It speaks gRPC (HTTP/2 in the clear, one stream a call) or HTTP/1.1 (one connection a caller),
 * by hand: h2load sends one body for all requests, so it cannot request distinct tasks. One thread,
 * epoll, about 3 us of CPU a call. SETTINGS disable the header table (RFC 7541 4.2), so
 * header names come as literals, and grpc-status is found by searching.
 *
 * load HOST PORT PATH CALLERS CONNECTIONS WARMUP_S SECONDS FILE grpc|http [key:value ...]
 *
 * Measuring begins after the warm-up, and once each caller has had an answer, if that takes no more
 * than 15 s. At the end no call is begun any more, and those in flight are waited for (15 s).
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define PATIENCE 15.0 /* s, see above */
#define SLOTS (1 << 16) /* streams that may be open on a connection, a power of two */
#define STATUSES 600    /* grpc-status, or HTTP's */

typedef struct { uint8_t *at; size_t used, room; } Buffer;
typedef struct { uint32_t id; int caller; int status; } Stream; /* caller -1: the slot is free */
typedef struct {
    int fd, broken, blocked; /* blocked: the socket takes no more now */
    Buffer in, out;
    size_t sent;
    Stream *streams;
    uint32_t next_id;
    int64_t window;       /* bytes of requests that the server takes now */
    uint32_t unacknowledged;
    int *waiting, n_waiting; /* callers that wait for the window */
    int caller;           /* HTTP/1.1 only */
} Connection;

static Connection *connections;
static int n_connections, n_callers, is_http, stopping, measuring, in_flight, fresh;
static double *sent_at;
static char *answered_once;
static uint8_t **records; static uint32_t *lengths; static int n_records, next_record;
static uint8_t header_block[4096]; static size_t header_length;
static long statuses[STATUSES], total, lost, connection_errors;
static uint32_t *latencies; static size_t n_latencies, room_latencies;

static void die(const char *what) { fprintf(stderr, "load: %s\n", what); exit(1); }

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static uint8_t *grow(Buffer *b, size_t more) { /* room for `more` bytes at the end */
    if (b->used + more > b->room) {
        b->room = (b->used + more) * 2;
        if (!(b->at = realloc(b->at, b->room))) die("no memory");
    }
    return b->at + b->used;
}

static void put(Buffer *b, const void *from, size_t n) { memcpy(grow(b, n), from, n); b->used += n; }

static void put_frame(Buffer *b, uint32_t n, int type, int flags, uint32_t stream, const void *payload) {
    uint8_t head[9] = {n >> 16, n >> 8, n, type, flags, stream >> 24, stream >> 16, stream >> 8, stream};
    put(b, head, 9);
    if (n) put(b, payload, n);
}

static uint32_t get32(const uint8_t *p) { return (uint32_t)p[0] << 24 | p[1] << 16 | p[2] << 8 | p[3]; }

static void set32(uint8_t *p, uint32_t v) { p[0] = v >> 24; p[1] = v >> 16; p[2] = v >> 8; p[3] = v; }

/* ---- callers ---- */

static void begin_call(Connection *c, int caller) {
    if (stopping || c->broken) return;
    uint32_t n = lengths[next_record];
    if (!is_http && c->window < n) { c->waiting[c->n_waiting++] = caller; return; }
    uint8_t *record = records[next_record];
    next_record = (next_record + 1) % n_records;
    sent_at[caller] = now();
    in_flight++;
    if (is_http) { put(&c->out, record, n); return; }
    /* Stream ids may be skipped (RFC 9113 5.1.1): one whose slot is taken by a slow call is. */
    while (c->streams[(c->next_id >> 1) & (SLOTS - 1)].caller >= 0) c->next_id += 2;
    uint32_t id = c->next_id;
    c->next_id += 2;
    c->streams[(id >> 1) & (SLOTS - 1)] = (Stream){id, caller, -1};
    put_frame(&c->out, header_length, 1, 4 /* END_HEADERS */, id, header_block);
    put_frame(&c->out, n, 0, 1 /* END_STREAM */, id, record);
    c->window -= n;
}

static void end_call(Connection *c, int caller, int status) {
    in_flight--;
    total++;
    if (!answered_once[caller]) { answered_once[caller] = 1; fresh--; }
    if (measuring) {
        statuses[status >= 0 && status < STATUSES ? status : STATUSES - 1]++;
        if (status == (is_http ? 200 : 0)) {
            if (n_latencies == room_latencies) {
                room_latencies = room_latencies * 2 + 65536;
                latencies = realloc(latencies, room_latencies * sizeof *latencies);
                if (!latencies) die("no memory");
            }
            latencies[n_latencies++] = (now() - sent_at[caller]) * 1e6;
        }
    }
    begin_call(c, caller);
}

/* ---- HTTP/2 ---- */

static int grpc_status(const uint8_t *block, uint32_t n) { /* -1: not in these headers */
    static const char plain[] = "grpc-status";
    /* The same in the Huffman code of RFC 7541, appendix B, which nghttp2 (Envoy) uses for names. */
    static const uint8_t coded[] = {0x9a, 0xca, 0xc8, 0xb2, 0x12, 0x34, 0xda, 0x8f};
    const uint8_t *value = memmem(block, n, plain, sizeof plain - 1);
    if (value) value += sizeof plain - 1;
    else if ((value = memmem(block, n, coded, sizeof coded))) value += sizeof coded;
    /* The value is plain: for one or two digits the Huffman code is no shorter. */
    if (!value || value + 1 >= block + n || value + value[0] >= block + n) return -1;
    return value[0] == 1 ? value[1] - '0' : (value[1] - '0') * 10 + value[2] - '0';
}

static void on_settings(Connection *c, const uint8_t *p, uint32_t n) {
    for (uint32_t i = 0; i + 6 <= n; i += 6)
        if (p[i] == 0 && p[i + 1] == 3 && get32(p + i + 2) < (uint32_t)(n_callers / n_connections + 1))
            die("the server allows fewer streams on a connection than there are callers");
    put_frame(&c->out, 0, 4, 1 /* ACK */, 0, NULL);
}

static void on_window(Connection *c, uint32_t more) {
    c->window += more;
    int n = c->n_waiting;
    c->n_waiting = 0;
    for (int i = 0; i < n; i++) begin_call(c, c->waiting[i]); /* may wait again, in a slot before i */
}

static void on_frame(Connection *c, int type, int flags, uint32_t id, uint8_t *p, uint32_t n) {
    Stream *s = &c->streams[(id >> 1) & (SLOTS - 1)];
    int known = id && s->caller >= 0 && s->id == id, ended = 0;
    if (type == 0) { /* DATA */
        c->unacknowledged += n;
        if (c->unacknowledged > 1 << 20) {
            uint8_t more[4];
            set32(more, c->unacknowledged);
            put_frame(&c->out, 4, 8, 0, 0, more);
            c->unacknowledged = 0;
        }
        ended = flags & 1;
    } else if (type == 1) { /* HEADERS */
        if (!(flags & 4)) die("the server splits its headers");
        int status = grpc_status(p, n);
        if (known && status >= 0) s->status = status;
        ended = flags & 1;
    } else if (type == 3) { /* RST_STREAM */
        if (known && s->status < 0) s->status = STATUSES - 1;
        ended = 1;
    } else if (type == 4 && !(flags & 1)) on_settings(c, p, n);
    else if (type == 6 && !(flags & 1)) put_frame(&c->out, 8, 6, 1, 0, p); /* PING */
    else if (type == 7) die("the server says GOAWAY");
    else if (type == 8 && id == 0) on_window(c, get32(p));
    if (known && ended) {
        int caller = s->caller, status = s->status < 0 ? STATUSES - 1 : s->status;
        s->caller = -1;
        end_call(c, caller, status);
    }
}

static size_t read_http2(Connection *c) {
    size_t at = 0;
    while (c->in.used - at >= 9) {
        uint8_t *p = c->in.at + at;
        uint32_t n = p[0] << 16 | p[1] << 8 | p[2];
        if (c->in.used - at < 9 + (size_t)n) break;
        on_frame(c, p[3], p[4], get32(p + 5) & 0x7fffffff, p + 9, n);
        at += 9 + n;
    }
    return at;
}

/* ---- HTTP/1.1: one call at a time on a connection, answers with Content-Length ---- */

static size_t read_http1(Connection *c) {
    if (c->in.used < 16) return 0;
    *grow(&c->in, 1) = 0;
    char *text = (char *)c->in.at, *end = strstr(text, "\r\n\r\n");
    if (!end) return 0;
    char *field = strcasestr(text, "content-length:");
    if (!field || field > end) die("an answer without Content-Length");
    size_t whole = end + 4 - text + strtoul(field + 15, NULL, 10);
    if (c->in.used < whole) return 0;
    end_call(c, c->caller, atoi(text + 9));
    return whole;
}

/* ---- connections ---- */

static void fail(Connection *c) { c->broken = 1; connection_errors++; close(c->fd); }

static void flush(Connection *c, int epoll) {
    if (c->broken) return;
    while (c->sent < c->out.used) {
        ssize_t n = write(c->fd, c->out.at + c->sent, c->out.used - c->sent);
        if (n < 0 && errno != EAGAIN) { fail(c); return; }
        if (n < 0) break;
        c->sent += n;
    }
    int rest = c->sent < c->out.used;
    if (!rest) c->sent = c->out.used = 0;
    if (rest == c->blocked) return;
    c->blocked = rest;
    struct epoll_event event = {.events = EPOLLIN | (rest ? EPOLLOUT : 0), .data.ptr = c};
    epoll_ctl(epoll, EPOLL_CTL_MOD, c->fd, &event);
}

static void receive(Connection *c) {
    for (;;) {
        uint8_t *into = grow(&c->in, 65536);
        ssize_t n = read(c->fd, into, 65536);
        if (n == 0 || (n < 0 && errno != EAGAIN)) { fail(c); return; }
        if (n < 0) return;
        c->in.used += n;
        size_t done = is_http ? read_http1(c) : read_http2(c);
        memmove(c->in.at, c->in.at + done, c->in.used - done);
        c->in.used -= done;
        if (n < 65536) return;
    }
}

static void open_connection(Connection *c, struct sockaddr_in *address, int epoll) {
    c->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(c->fd, (struct sockaddr *)address, sizeof *address)) die("cannot connect");
    int on = 1;
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    fcntl(c->fd, F_SETFL, O_NONBLOCK);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
    epoll_ctl(epoll, EPOLL_CTL_ADD, c->fd, &event);
    if (is_http) return;
    c->streams = malloc(SLOTS * sizeof *c->streams);
    for (int i = 0; i < SLOTS; i++) c->streams[i].caller = -1;
    c->waiting = calloc(n_callers, sizeof *c->waiting);
    c->next_id = 1;
    c->window = 65535;
    put(&c->out, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 24);
    /* No header table, no push, streams may send 16 MiB, and all together 1 GiB. */
    uint8_t settings[18] = {0, 1, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 4, 1, 0, 0, 0}, window[4];
    put_frame(&c->out, 18, 4, 0, 0, settings);
    set32(window, 1 << 30);
    put_frame(&c->out, 4, 8, 0, 0, window);
}

static void add_header(const char *name, const char *value) { /* literal, never indexed */
    uint8_t *p = header_block + header_length;
    size_t n = strlen(name), v = strlen(value);
    if (n > 126 || v > 126 || header_length + n + v + 3 > sizeof header_block) die("header too long");
    *p++ = 0x10;
    *p++ = n; memcpy(p, name, n); p += n;
    *p++ = v; memcpy(p, value, v); p += v;
    header_length = p - header_block;
}

static void read_records(const char *path) {
    FILE *file = fopen(path, "rb");
    if (!file) die("cannot read the request file");
    uint8_t head[4];
    for (int room = 0; fread(head, 1, 4, file) == 4; n_records++) {
        if (n_records == room) {
            room = room * 2 + 1024;
            records = realloc(records, room * sizeof *records);
            lengths = realloc(lengths, room * sizeof *lengths);
        }
        lengths[n_records] = get32(head);
        records[n_records] = malloc(lengths[n_records]);
        if (fread(records[n_records], 1, lengths[n_records], file) != lengths[n_records]) die("short file");
    }
    if (!n_records) die("no requests");
    fclose(file);
}

static int ascending(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static void report(double seconds) {
    qsort(latencies, n_latencies, sizeof *latencies, ascending);
    printf("{\"answered\":%zu,\"total\":%ld,\"seconds\":%.4f,\"lost\":%ld,\"refused\":{", n_latencies,
           total, seconds, lost);
    const char *comma = "";
    for (int i = 0; i < STATUSES; i++)
        if (statuses[i] && i != (is_http ? 200 : 0)) {
            printf("%s\"%d\":%ld", comma, i, statuses[i]);
            comma = ",";
        }
    size_t n = n_latencies;
    printf("},\"p50_ms\":%.3f,\"p99_ms\":%.3f}\n", n ? latencies[n / 2] / 1e3 : 0.0,
           n ? latencies[n * 99 / 100] / 1e3 : 0.0);
}

int main(int argc, char **argv) {
    if (argc < 10) die("usage: see the top of load.c");
    n_callers = atoi(argv[4]);
    is_http = !strcmp(argv[9], "http");
    n_connections = is_http ? n_callers : atoi(argv[5]);
    if (n_connections > n_callers) n_connections = n_callers;
    double warmup = atof(argv[6]), seconds = atof(argv[7]);
    read_records(argv[8]);
    add_header(":method", "POST"); add_header(":scheme", "http"); add_header(":path", argv[3]);
    add_header(":authority", "bench"); add_header("te", "trailers");
    add_header("content-type", "application/grpc"); add_header("user-agent", "bench");
    for (int i = 10; i < argc; i++) {
        char *colon = strchr(argv[i], ':');
        if (!colon) die("metadata is key:value");
        *colon = 0;
        add_header(argv[i], colon + 1);
    }
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[2]))};
    inet_pton(AF_INET, argv[1], &address.sin_addr);
    int epoll = epoll_create1(0);
    connections = calloc(n_connections, sizeof *connections);
    sent_at = calloc(n_callers, sizeof *sent_at);
    answered_once = calloc(n_callers, 1);
    fresh = n_callers;
    for (int i = 0; i < n_connections; i++) open_connection(&connections[i], &address, epoll);
    for (int i = 0; i < n_callers; i++) {
        Connection *c = &connections[i % n_connections];
        c->caller = i;
        begin_call(c, i);
    }
    for (int i = 0; i < n_connections; i++) flush(&connections[i], epoll);

    double began = now(), from = 0, until = 0;
    struct epoll_event events[256];
    for (;;) {
        int n = epoll_wait(epoll, events, 256, 20);
        for (int i = 0; i < n; i++) {
            Connection *c = events[i].data.ptr;
            if (c->broken) continue;
            if (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) receive(c);
            flush(c, epoll);
        }
        double t = now();
        if (!from && t - began >= warmup && (!fresh || t - began >= warmup + PATIENCE)) {
            measuring = 1;
            from = t;
        }
        if (measuring && t - from >= seconds) {
            measuring = 0;
            stopping = 1;
            until = t;
        }
        if (stopping && (!in_flight || t - until >= PATIENCE)) break;
        if (connection_errors && t - began > 60) die("connections broke");
    }
    lost = in_flight;
    if (connection_errors) fprintf(stderr, "load: %ld connections broke\n", connection_errors);
    report(until - from);
    return connection_errors ? 2 : 0;
}
