// The smallest C face on libphonenumber: Swift sees three functions and no C++.
#include "CPhoneNumber.h"

#include <cstring>
#include <phonenumbers/phonenumber.pb.h>
#include <phonenumbers/phonenumberutil.h>
#include <string>

using i18n::phonenumbers::PhoneNumber;
using i18n::phonenumbers::PhoneNumberUtil;

extern "C" int muster_phone_e164(const char *text, unsigned long length, const char *region, char *out) {
    static PhoneNumberUtil *util = PhoneNumberUtil::GetInstance();
    PhoneNumber number;
    switch (util->Parse(std::string(text, length), region, &number)) {
    case PhoneNumberUtil::NO_PARSING_ERROR: break;
    case PhoneNumberUtil::INVALID_COUNTRY_CODE_ERROR: return MUSTER_PHONE_NO_COUNTRY;
    case PhoneNumberUtil::TOO_SHORT_NSN:
    case PhoneNumberUtil::TOO_SHORT_AFTER_IDD: return MUSTER_PHONE_TOO_SHORT;
    case PhoneNumberUtil::TOO_LONG_NSN: return MUSTER_PHONE_TOO_LONG;
    default: return MUSTER_PHONE_NOT_A_NUMBER;
    }
    if (number.has_extension()) return MUSTER_PHONE_EXTENSION;
    switch (util->IsPossibleNumberWithReason(number)) {
    case PhoneNumberUtil::IS_POSSIBLE: break;
    case PhoneNumberUtil::TOO_SHORT: return MUSTER_PHONE_TOO_SHORT;
    case PhoneNumberUtil::TOO_LONG: return MUSTER_PHONE_TOO_LONG;
    case PhoneNumberUtil::INVALID_COUNTRY_CODE: return MUSTER_PHONE_NO_COUNTRY;
    default: return MUSTER_PHONE_IMPOSSIBLE;
    }
    std::string formatted;
    util->Format(number, PhoneNumberUtil::E164, &formatted);
    if (formatted.size() > 16) return MUSTER_PHONE_TOO_LONG;
    std::memcpy(out, formatted.c_str(), formatted.size() + 1);
    return MUSTER_PHONE_OK;
}

extern "C" void muster_phone_region(const char *e164, unsigned long length, char *out) {
    static PhoneNumberUtil *util = PhoneNumberUtil::GetInstance();
    PhoneNumber number;
    std::string region = "ZZ";
    if (util->Parse(std::string(e164, length), "ZZ", &number) == PhoneNumberUtil::NO_PARSING_ERROR) {
        util->GetRegionCodeForNumber(number, &region);
    }
    if (region.size() > 3) region = "ZZ";
    std::memcpy(out, region.c_str(), region.size() + 1);
}

extern "C" int muster_phone_knows_region(const char *region) {
    static PhoneNumberUtil *util = PhoneNumberUtil::GetInstance();
    return util->GetCountryCodeForRegion(region) != 0;
}

extern "C" int muster_phone_calling_code(const char *region) {
    return PhoneNumberUtil::GetInstance()->GetCountryCodeForRegion(region);
}
