// Sums of 32 bits have room for all products of a group, so a run of them is the int32 sum itself.
typedef i32v Sum;

TRIT_INLINE Sum begin_run(i32v sum) {
  return sum;
}
TRIT_INLINE i32v end_run(i32v, Sum run) {
  return run;
}
TRIT_INLINE size_t max_steps(uint32_t) {
  return SIZE_MAX;
}
