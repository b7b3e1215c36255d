#include <locale.h>
#include <wctype.h>
