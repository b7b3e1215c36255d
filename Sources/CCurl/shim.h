#include <curl/curl.h>

// curl_easy_setopt and curl_easy_getinfo are variadic, which Swift cannot call: one function per argument type.
static inline CURLcode muster_curl_set_long(CURL *handle, CURLoption option, long value) {
    return curl_easy_setopt(handle, option, value);
}
static inline CURLcode muster_curl_set_pointer(CURL *handle, CURLoption option, void *value) {
    return curl_easy_setopt(handle, option, value);
}
static inline CURLcode muster_curl_set_string(CURL *handle, CURLoption option, const char *value) {
    return curl_easy_setopt(handle, option, value);
}
typedef size_t (*muster_curl_write)(char *, size_t, size_t, void *);
static inline CURLcode muster_curl_set_write(CURL *handle, CURLoption option, muster_curl_write function) {
    return curl_easy_setopt(handle, option, function);
}
typedef int (*muster_curl_prerequest)(void *, char *, char *, int, int);
static inline CURLcode muster_curl_set_prerequest(CURL *handle, muster_curl_prerequest function, void *data) {
    curl_easy_setopt(handle, CURLOPT_PREREQDATA, data);
    return curl_easy_setopt(handle, CURLOPT_PREREQFUNCTION, function);
}
typedef int (*muster_curl_debug)(CURL *, curl_infotype, char *, size_t, void *);
static inline CURLcode muster_curl_set_debug(CURL *handle, muster_curl_debug function, void *data) {
    curl_easy_setopt(handle, CURLOPT_VERBOSE, 1L);
    curl_easy_setopt(handle, CURLOPT_DEBUGDATA, data);
    return curl_easy_setopt(handle, CURLOPT_DEBUGFUNCTION, function);
}
typedef curl_socket_t (*muster_curl_open_socket)(void *, curlsocktype, struct curl_sockaddr *);
static inline CURLcode muster_curl_set_open_socket(CURL *handle, muster_curl_open_socket function, void *data) {
    curl_easy_setopt(handle, CURLOPT_OPENSOCKETDATA, data);
    return curl_easy_setopt(handle, CURLOPT_OPENSOCKETFUNCTION, function);
}
static inline CURLcode muster_curl_get_long(CURL *handle, CURLINFO info, long *value) {
    return curl_easy_getinfo(handle, info, value);
}
static inline CURLcode muster_curl_get_pointer(CURL *handle, CURLINFO info, void **value) {
    return curl_easy_getinfo(handle, info, value);
}
static inline CURLMcode muster_curl_multi_set_long(CURLM *handle, CURLMoption option, long value) {
    return curl_multi_setopt(handle, option, value);
}
static inline CURLcode muster_curl_message_result(CURLMsg *message) { return message->data.result; }
// A cast macro, which the importer does not read.
static const long musterCurlAuthBasic = (long)CURLAUTH_BASIC;
static const long musterCurlUseTLS = (long)CURLUSESSL_ALL;
