/* A wall clock that can be stepped while the program runs, and a boot-time clock that runs wrong: for LD_PRELOAD.
 *
 * The file that CLOCK_SHIM_FILE names holds a signed 64-bit number of seconds (host byte order); it is mapped, and added
 * to every reading of the wall clock. Monotonic clocks are left alone, as a step of a host's wall clock leaves them.
 * CLOCK_SHIM_FAST, if set, is a whole number of percent by which CLOCK_BOOTTIME runs too fast, since the host's boot, so
 * that all processes of one host agree. A process that was forked and has an environment of its own calls
 * clock_shim_begin.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static volatile int64_t nothing = 0;
static volatile int64_t *offset_s = &nothing;
static int64_t fast_percent = 0;

__attribute__((constructor)) void clock_shim_begin(void) {
  const char *fast = getenv("CLOCK_SHIM_FAST");
  fast_percent = fast ? atoll(fast) : 0;
  const char *name = getenv("CLOCK_SHIM_FILE");
  int file = name ? open(name, O_RDONLY | O_CLOEXEC) : -1;
  if (file < 0) return;
  void *mapped = mmap(NULL, sizeof(int64_t), PROT_READ, MAP_SHARED, file, 0);
  if (mapped != MAP_FAILED) offset_s = mapped;
  close(file);
}

/* Straight to the kernel: constructors of other libraries may ask before ours has run. */
int clock_gettime(clockid_t clock, struct timespec *now) {
  int failed = (int)syscall(SYS_clock_gettime, clock, now);
  if (!failed && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) now->tv_sec += *offset_s;
  if (!failed && fast_percent && clock == CLOCK_BOOTTIME) {
    int64_t ns = (int64_t)now->tv_sec * 1000000000 + now->tv_nsec;
    ns += ns / 100 * fast_percent;
    now->tv_sec = ns / 1000000000;
    now->tv_nsec = ns % 1000000000;
  }
  return failed;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
  (void)zone;
  struct timespec exact;
  int failed = clock_gettime(CLOCK_REALTIME, &exact);
  if (!failed) {
    now->tv_sec = exact.tv_sec;
    now->tv_usec = exact.tv_nsec / 1000;
  }
  return failed;
}

time_t time(time_t *now) {
  struct timespec exact;
  if (clock_gettime(CLOCK_REALTIME, &exact)) return (time_t)-1;
  if (now) *now = exact.tv_sec;
  return exact.tv_sec;
}
