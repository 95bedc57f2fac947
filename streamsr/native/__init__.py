"""Machine code made at run time from LLVM IR, without a C compiler, and kept in the user's
cache."""
