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
    static inline void edge_add(long long *word, long long amount) {
        __atomic_fetch_add(word, amount, __ATOMIC_RELAXED);
    }
    /* Two neighbouring words at once. Not __atomic_compare_exchange_n: for 16 bytes GCC makes a call to libatomic of
       it, whose locks are a process's own where it does not find the instruction. Every x86-64 of the wheels has
       cmpxchg16b, but the compiler must be told; on AArch64 the builtin is inline or in libgcc. */
    typedef unsigned __int128 __attribute__((may_alias)) edge_pair;
    #ifdef __x86_64__
    __attribute__((target("cx16")))
    #endif
    static inline int edge_swap_pair(long long *words, long long first, long long second,
                                     long long new_first, long long new_second) {
        union { long long words[2]; unsigned __int128 pair; } before = {{first, second}};
        union { long long words[2]; unsigned __int128 pair; } after = {{new_first, new_second}};
        return __sync_bool_compare_and_swap((edge_pair *)words, before.pair, after.pair);
    }
    """
    long long load_acquire "edge_load_acquire"(const long long *word) noexcept nogil
    void store_release "edge_store_release"(long long *word, long long value) noexcept nogil
    void fence "edge_fence"() noexcept nogil
    void add "edge_add"(long long *word, long long amount) noexcept nogil
    bint swap_pair "edge_swap_pair"(
        long long *words, long long first, long long second, long long new_first, long long new_second
    ) noexcept nogil
