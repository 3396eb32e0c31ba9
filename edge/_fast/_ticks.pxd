# The clock by which requests are timed, read as `time.perf_counter()` reads it and without its way there, which takes
# longer than the reading. On other systems that clock is another, and Python is asked.

cdef extern from *:
    """
    #include <time.h>
    #if defined(__linux__)
    #define EDGE_TICKS 1
    static inline double edge_ticks(void) {
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        return (double)(now.tv_sec * 1000000000LL + now.tv_nsec) / 1e9;
    }
    #else
    #define EDGE_TICKS 0
    static inline double edge_ticks(void) { return 0.0; }
    #endif
    """
    bint TICKS "EDGE_TICKS"
    double ticks "edge_ticks"() noexcept
