#pragma once
#ifdef __cplusplus
extern "C" {
#endif
// Parses `text` with `region` (ISO 3166-1 alpha-2, or "ZZ" for none) as the default country and writes the
// E.164 form to `out` (at least 17 bytes). Returns 0 when the number is possible, else a MUSTER_PHONE_* code.
int muster_phone_e164(const char *text, unsigned long length, const char *region, char *out);
// Writes the ISO 3166-1 alpha-2 region of an E.164 number to `out` (at least 4 bytes; "ZZ" when unknown).
void muster_phone_region(const char *e164, unsigned long length, char *out);
// 1 when `region` is a country code that the library knows.
int muster_phone_knows_region(const char *region);
// The calling code of a country, 0 when unknown.
int muster_phone_calling_code(const char *region);
#define MUSTER_PHONE_OK 0
#define MUSTER_PHONE_NOT_A_NUMBER 1
#define MUSTER_PHONE_NO_COUNTRY 2
#define MUSTER_PHONE_TOO_SHORT 3
#define MUSTER_PHONE_TOO_LONG 4
#define MUSTER_PHONE_IMPOSSIBLE 5
#define MUSTER_PHONE_EXTENSION 6
#ifdef __cplusplus
}
#endif
