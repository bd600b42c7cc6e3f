// exp, log, pow, sin and cos in double, built from the four basic operations only, so that every
// CPU, compiler and C library gives the same bits (std:: ones differ in the last place). For
// tables, conversion and sampling; the kernels have their own float versions. Error below 2 ulp in
// the ranges stated (tests/model_format/portable_math_test.cc).
#ifndef TRITSTACK_MODEL_FORMAT_PORTABLE_MATH_H_
#define TRITSTACK_MODEL_FORMAT_PORTABLE_MATH_H_

namespace trit {

double portable_exp(double x);  // all x; overflow gives infinity, underflow 0
double portable_log(double x);  // x > 0; 0 gives -infinity, negative gives NaN
// x > 0. The relative error grows with |y log x|: 1e-15 at 10.
double portable_pow(double x, double y);
double portable_sin(double x);  // |x| <= 2^25
double portable_cos(double x);  // |x| <= 2^25

}  // namespace trit

#endif  // TRITSTACK_MODEL_FORMAT_PORTABLE_MATH_H_
