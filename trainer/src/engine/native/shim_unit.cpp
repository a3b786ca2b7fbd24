// Everything that is compiled beside libtorch, as one translation unit: its headers take several times as long as all
// that is written here, and this way they are read once.

#include "hooks.cpp"
#include "normalisation.cpp"
#include "sgd.cpp"
#include "shim.cpp"
#ifdef LCSL_WINOGRAD
#include "convolution.cpp"
#endif
