# Ordered access to words that processes share. Clang and GCC have these builtins on every platform of the wheels.

cdef extern from *:
    """
    static inline long long edge_load_acquire(const long long *word) {
        return __atomic_load_n(word, __ATOMIC_ACQUIRE);
    }
    static inline void edge_store_release(long long *word, long long value) {
        __atomic_store_n(word, value, __ATOMIC_RELEASE);
    }
    static inline void edge_fence(void) {
        __atomic_thread_fence(__ATOMIC_SEQ_CST);
    }
    """
    long long load_acquire "edge_load_acquire"(const long long *word) noexcept nogil
    void store_release "edge_store_release"(long long *word, long long value) noexcept nogil
    void fence "edge_fence"() noexcept nogil
