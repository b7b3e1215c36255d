#include <jansson.h>

// json_decref and json_error_code are static inline functions of names that differ between versions; these are ours.
static inline void muster_json_decref(json_t *json) { json_decref(json); }
static inline int muster_json_error_code(const json_error_t *error) { return (int)json_error_code(error); }
static const int MUSTER_JSON_DUPLICATE_KEY = json_error_duplicate_key;
static const int MUSTER_JSON_INVALID_UTF8 = json_error_invalid_utf8;
// Added in jansson 2.14, which is what Debian 12 has.
