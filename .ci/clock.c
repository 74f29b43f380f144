/* A clock that is ahead, for the tests that read dates: preload it as clock+SECONDS.so, and every process that is
 * started under it sees the real time plus so many seconds. The offset is relative, so that children and their children
 * agree, and stands in the name, since PostgreSQL is given LD_PRELOAD of its caller's variables and no other.
 * libfaketime, the well-kept way, ends processes with server threads by a signal: it also stands in for the calls that
 * wait. Monotonic clocks, time-outs and the dates of files are left alone here on purpose.
 */
#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static time_t offset(void) {
  const char *preloaded = getenv("LD_PRELOAD"), *seconds = preloaded ? strstr(preloaded, "/clock+") : NULL;
  return seconds ? atol(seconds + sizeof "/clock+" - 1) : 0;
}

int clock_gettime(clockid_t clock, struct timespec *now) {
  int failed = (int)syscall(SYS_clock_gettime, clock, now);
  if (!failed && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) now->tv_sec += offset();
  return failed;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
  struct timespec exact;
  (void)zone;
  int failed = clock_gettime(CLOCK_REALTIME, &exact);
  now->tv_sec = exact.tv_sec;
  now->tv_usec = exact.tv_nsec / 1000;
  return failed;
}

time_t time(time_t *now) {
  struct timespec exact;
  clock_gettime(CLOCK_REALTIME, &exact);
  if (now) *now = exact.tv_sec;
  return exact.tv_sec;
}
