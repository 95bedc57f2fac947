"""Makes machine code at run time from LLVM IR, without a C compiler, and keeps it in the user's
cache."""
