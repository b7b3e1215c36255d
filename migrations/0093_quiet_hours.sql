-- Why: nobody is texted in the night of the place where they are, as far as their number or they themselves tell it.
-- Locks: campaigns, for a moment; its new columns have constant defaults.

-- Where whoever has a number may be, by how it begins; the longest that fits counts. Printed by scripts/number_places.py
-- from phonenumbers 9.0.43 and tzdata 2025b on 21 November 2026, and reviewed: a code that reaches into two zones has both, and so
-- have codes that were laid over it later. A number says where it was given out, not where its owner lives, so nothing
-- finer than the code is kept.
CREATE TABLE number_places (
    prefix text PRIMARY KEY,
    -- ISO 3166: a state, where the code lies in one, else a country.
    region text NOT NULL,
    zones text[] NOT NULL,
    CONSTRAINT place_has_a_zone CHECK (zones <> '{}')
);
INSERT INTO number_places (prefix, region, zones)
WITH area_codes (region, zones, codes) AS (VALUES
    -- Toll-free, personal and new codes: anywhere from the East to Hawaii.
    ('US', '{America/New_York, America/Chicago, America/Denver, America/Phoenix, America/Los_Angeles, America/Anchorage,
    Pacific/Honolulu}', '{NULL}'),
    ('AG','{America/Antigua}','{268}'), ('AI','{America/Anguilla}','{264}'), ('BB','{America/Barbados}','{246}'),
    ('BM','{Atlantic/Bermuda}','{441}'), ('BS','{America/Nassau}','{242}'),
    ('CA','{America/Edmonton}','{368,403,587,780,825}'),
    ('CA','{America/Edmonton,America/Fort_Nelson,America/Toronto,America/Vancouver,America/Winnipeg}','{867}'),
    ('CA','{America/Edmonton,America/Vancouver}','{236,250,257,672,778}'), ('CA','{America/Halifax}','{428,506,782,902}'),
    ('CA','{America/Halifax,America/St_Johns}','{709,879}'), ('CA','{America/Halifax,America/Toronto}','{367,418,581}'),
    ('CA','{America/Regina}','{306,474,639}'),
        ('CA', '{America/Toronto}', '{226, 249, 263, 273, 289, 343, 354, 365, 382, 416, 437, 438, 450, 468, 514, 519, 548,
    579, 613, 647, 683, 705, 742, 753, 819, 873, 905, 942}'),
    ('CA','{America/Toronto,America/Winnipeg}','{807}'), ('CA','{America/Vancouver}','{604}'),
    ('CA','{America/Winnipeg}','{204,431,584}'), ('DM','{America/Dominica}','{767}'),
    ('DO','{America/Santo_Domingo}','{809,829,849}'), ('GD','{America/Grenada}','{473}'),
    ('JM','{America/Jamaica}','{658,876}'), ('KN','{America/St_Kitts}','{869}'), ('KY','{America/Cayman}','{345}'),
    ('LC','{America/St_Lucia}','{758}'), ('MS','{America/Montserrat}','{664}'), ('SX','{America/Lower_Princes}','{721}'),
    ('TC','{America/Grand_Turk}','{649}'), ('TT','{America/Port_of_Spain}','{868}'),
    ('US-AK','{America/Adak,America/Anchorage,America/Juneau,Pacific/Honolulu}','{907}'),
    ('US-AL','{America/Chicago}','{205,251,256,334,659,938}'), ('US-AR','{America/Chicago}','{327,479,501,870}'),
    ('US-AS','{Pacific/Pago_Pago}','{684}'), ('US-AZ','{America/Denver,America/Phoenix}','{928}'),
    ('US-AZ','{America/Phoenix}','{480,520,602,623}'),
        ('US-CA', '{America/Los_Angeles}', '{209, 213, 279, 310, 323, 341, 350, 369, 408, 415, 424, 442, 510, 530, 559, 562,
    619, 626, 628, 650, 657, 661, 669, 707, 714, 738, 747, 760, 805, 818, 820, 831, 840, 858, 909, 916, 925, 949, 951}'),
    ('US-CO','{America/Denver}','{303,719,720,748,970,983}'), ('US-CT','{America/New_York}','{203,475,860,959}'),
    ('US-DC','{America/New_York}','{202,771}'), ('US-DE','{America/New_York}','{302}'),
    ('US-FL','{America/Chicago,America/New_York}','{448,850}'),
    ('US-FL','{America/New_York}','{239,305,321,324,352,386,407,561,645,656,689,727,728,754,772,786,813,863,904,941,954}'),
    ('US-GA','{America/New_York}','{229,404,470,478,678,706,762,770,912,943}'), ('US-GU','{Pacific/Guam}','{671}'),
    ('US-HI','{Pacific/Honolulu}','{808}'), ('US-IA','{America/Chicago}','{319,515,563,641,712}'),
    ('US-ID','{America/Boise,America/Denver,America/Los_Angeles}','{208,986}'),
    ('US-IL','{America/Chicago}','{217,224,309,312,331,447,464,618,630,708,730,773,779,815,847,872}'),
    ('US-IN','{America/Chicago,America/New_York}','{219,574,812,930}'), ('US-IN','{America/New_York}','{260,317,463,765}'),
    ('US-KS','{America/Chicago}','{316,913}'), ('US-KS','{America/Chicago,America/Denver}','{620,785}'),
    ('US-KY','{America/Chicago,America/New_York}','{270,364,606}'), ('US-KY','{America/New_York}','{502,859}'),
    ('US-LA','{America/Chicago}','{225,318,337,504,985}'),
    ('US-MA','{America/New_York}','{339,351,413,508,617,774,781,857,978}'),
    ('US-MD','{America/New_York}','{227,240,301,410,443,667}'), ('US-ME','{America/New_York}','{207}'),
    ('US-MI','{America/Chicago,America/New_York}','{906}'),
    ('US-MI','{America/New_York}','{231,248,269,313,517,586,616,734,810,947,989}'),
    ('US-MN','{America/Chicago}','{218,320,507,612,651,763,952}'),
    ('US-MO','{America/Chicago}','{235,314,417,557,573,636,660,816,975}'), ('US-MP','{Pacific/Saipan}','{670}'),
    ('US-MS','{America/Chicago}','{228,601,662,769}'), ('US-MT','{America/Denver}','{406}'),
    ('US-NC','{America/New_York}','{252,336,472,704,743,828,910,919,980,984}'),
    ('US-ND','{America/Chicago,America/Denver,America/North_Dakota/Center}','{701}'),
    ('US-NE','{America/Chicago}','{402,531}'), ('US-NE','{America/Chicago,America/Denver}','{308}'),
    ('US-NH','{America/New_York}','{603}'), ('US-NJ','{America/New_York}','{201,551,609,640,732,848,856,862,908,973}'),
    ('US-NM','{America/Denver}','{505,575}'), ('US-NV','{America/Boise,America/Denver,America/Los_Angeles}','{775}'),
    ('US-NV','{America/Los_Angeles}','{702,725}'),
    ('US-NY','{America/New_York}','{212,315,329,332,347,363,516,518,585,607,631,646,680,716,718,838,845,914,917,929,934}'),
    ('US-OH','{America/New_York}','{216,220,234,283,326,330,380,419,440,513,567,614,740,937}'),
    ('US-OK','{America/Chicago}','{405,539,572,580,918}'), ('US-OR','{America/Denver,America/Los_Angeles}','{458,541}'),
    ('US-OR','{America/Los_Angeles}','{503,971}'),
    ('US-PA','{America/New_York}','{215,223,267,272,412,445,484,570,582,610,717,724,814,835,878}'),
    ('US-PR','{America/Puerto_Rico}','{787,939}'), ('US-RI','{America/New_York}','{401}'),
    ('US-SC','{America/New_York}','{803,821,839,843,854,864}'),
    ('US-SD','{America/Chicago,America/Denver,America/North_Dakota/Center}','{605}'),
    ('US-TN','{America/Chicago}','{615,629,731,901,931}'), ('US-TN','{America/Chicago,America/New_York}','{423}'),
    ('US-TN','{America/New_York}','{865}'),
        ('US-TX', '{America/Chicago}', '{210, 214, 254, 281, 325, 346, 361, 409, 430, 432, 469, 512, 682, 713, 726, 737, 806,
    817, 830, 832, 903, 936, 940, 945, 956, 972, 979}'),
    ('US-TX','{America/Denver}','{915}'), ('US-UT','{America/Denver}','{385,435,801}'),
    ('US-VA','{America/New_York}','{276,434,540,571,686,703,757,804,826,948}'), ('US-VI','{America/St_Thomas}','{340}'),
    ('US-VT','{America/New_York}','{802}'), ('US-WA','{America/Los_Angeles}','{206,253,360,425,509,564}'),
    ('US-WI','{America/Chicago}','{262,274,353,414,534,608,715,920}'), ('US-WV','{America/New_York}','{304,681}'),
    ('US-WY','{America/Denver}','{307}'), ('VC','{America/St_Vincent}','{784}'), ('VG','{America/Tortola}','{284}')),
countries (prefix, region, zones) AS (VALUES
    ('+20','EG','{Africa/Cairo}'), ('+211','SS','{Africa/Juba}'), ('+212','MA','{Africa/Casablanca,Africa/El_Aaiun}'),
    ('+213','DZ','{Africa/Algiers}'), ('+216','TN','{Africa/Tunis}'), ('+218','LY','{Africa/Tripoli}'),
    ('+220','GM','{Africa/Banjul}'), ('+221','SN','{Africa/Dakar}'), ('+222','MR','{Africa/Nouakchott}'),
    ('+223','ML','{Africa/Bamako}'), ('+224','GN','{Africa/Conakry}'), ('+225','CI','{Africa/Abidjan}'),
    ('+226','BF','{Africa/Ouagadougou}'), ('+227','NE','{Africa/Niamey}'), ('+228','TG','{Africa/Lome}'),
    ('+229','BJ','{Africa/Porto-Novo}'), ('+230','MU','{Indian/Mauritius}'), ('+231','LR','{Africa/Monrovia}'),
    ('+232','SL','{Africa/Freetown}'), ('+233','GH','{Africa/Accra}'), ('+234','NG','{Africa/Lagos}'),
    ('+235','TD','{Africa/Ndjamena}'), ('+236','CF','{Africa/Bangui}'), ('+237','CM','{Africa/Douala}'),
    ('+238','CV','{Atlantic/Cape_Verde}'), ('+239','ST','{Africa/Sao_Tome}'), ('+240','GQ','{Africa/Malabo}'),
    ('+241','GA','{Africa/Libreville}'), ('+242','CG','{Africa/Brazzaville}'),
    ('+243','CD','{Africa/Kinshasa,Africa/Lubumbashi}'), ('+244','AO','{Africa/Luanda}'), ('+245','GW','{Africa/Bissau}'),
    ('+246','IO','{Indian/Chagos}'), ('+247','AC','{Atlantic/St_Helena}'), ('+248','SC','{Indian/Mahe}'), ('+249','SD','{Africa/Khartoum}'),
    ('+250','RW','{Africa/Kigali}'), ('+251','ET','{Africa/Addis_Ababa}'), ('+252','SO','{Africa/Mogadishu}'),
    ('+253','DJ','{Africa/Djibouti}'), ('+254','KE','{Africa/Nairobi}'), ('+255','TZ','{Africa/Dar_es_Salaam}'),
    ('+256','UG','{Africa/Kampala}'), ('+257','BI','{Africa/Bujumbura}'), ('+258','MZ','{Africa/Maputo}'),
    ('+260','ZM','{Africa/Lusaka}'), ('+261','MG','{Indian/Antananarivo}'), ('+262','RE','{Indian/Mayotte,Indian/Reunion}'),
    ('+263','ZW','{Africa/Harare}'), ('+264','NA','{Africa/Windhoek}'), ('+265','MW','{Africa/Blantyre}'),
    ('+266','LS','{Africa/Maseru}'), ('+267','BW','{Africa/Gaborone}'), ('+268','SZ','{Africa/Mbabane}'),
    ('+269','KM','{Indian/Comoro}'), ('+27','ZA','{Africa/Johannesburg}'), ('+290','SH','{Atlantic/St_Helena}'),
    ('+291','ER','{Africa/Asmara}'), ('+297','AW','{America/Aruba}'), ('+298','FO','{Atlantic/Faroe}'),
    ('+299','GL','{America/Danmarkshavn,America/Nuuk,America/Scoresbysund,America/Thule}'), ('+30','GR','{Europe/Athens}'),
    ('+31','NL','{Europe/Amsterdam}'), ('+32','BE','{Europe/Brussels}'), ('+33','FR','{Europe/Paris}'),
    ('+34','ES','{Africa/Ceuta,Atlantic/Canary,Europe/Madrid}'), ('+350','GI','{Europe/Gibraltar}'),
    ('+351','PT','{Atlantic/Azores,Atlantic/Madeira,Europe/Lisbon}'), ('+352','LU','{Europe/Luxembourg}'),
    ('+353','IE','{Europe/Dublin}'), ('+354','IS','{Atlantic/Reykjavik}'), ('+355','AL','{Europe/Tirane}'),
    ('+356','MT','{Europe/Malta}'), ('+357','CY','{Asia/Famagusta,Asia/Nicosia}'),
    ('+358','FI','{Europe/Helsinki,Europe/Mariehamn}'), ('+359','BG','{Europe/Sofia}'), ('+36','HU','{Europe/Budapest}'),
    ('+370','LT','{Europe/Vilnius}'), ('+371','LV','{Europe/Riga}'), ('+372','EE','{Europe/Tallinn}'),
    ('+373','MD','{Europe/Chisinau}'), ('+374','AM','{Asia/Yerevan}'), ('+375','BY','{Europe/Minsk}'),
    ('+376','AD','{Europe/Andorra}'), ('+377','MC','{Europe/Monaco}'), ('+378','SM','{Europe/San_Marino}'),
    ('+380','UA','{Europe/Kyiv,Europe/Simferopol}'), ('+381','RS','{Europe/Belgrade}'), ('+382','ME','{Europe/Podgorica}'), ('+383','XK','{Europe/Belgrade}'),
    ('+385','HR','{Europe/Zagreb}'), ('+386','SI','{Europe/Ljubljana}'), ('+387','BA','{Europe/Sarajevo}'),
    ('+389','MK','{Europe/Skopje}'), ('+39','IT','{Europe/Rome,Europe/Vatican}'), ('+40','RO','{Europe/Bucharest}'),
    ('+41','CH','{Europe/Zurich}'), ('+420','CZ','{Europe/Prague}'), ('+421','SK','{Europe/Bratislava}'),
    ('+423','LI','{Europe/Vaduz}'), ('+43','AT','{Europe/Vienna}'),
    ('+44','GB','{Europe/Guernsey,Europe/Isle_of_Man,Europe/Jersey,Europe/London}'), ('+45','DK','{Europe/Copenhagen}'),
    ('+46','SE','{Europe/Stockholm}'), ('+47','NO','{Arctic/Longyearbyen,Europe/Oslo}'), ('+48','PL','{Europe/Warsaw}'),
    ('+49','DE','{Europe/Berlin,Europe/Busingen}'), ('+500','FK','{Atlantic/Stanley}'), ('+501','BZ','{America/Belize}'),
    ('+502','GT','{America/Guatemala}'), ('+503','SV','{America/El_Salvador}'), ('+504','HN','{America/Tegucigalpa}'),
    ('+505','NI','{America/Managua}'), ('+506','CR','{America/Costa_Rica}'), ('+507','PA','{America/Panama}'),
    ('+508','PM','{America/Miquelon}'), ('+509','HT','{America/Port-au-Prince}'), ('+51','PE','{America/Lima}'),
        ('+52', 'MX', '{America/Bahia_Banderas, America/Cancun, America/Chihuahua, America/Ciudad_Juarez, America/Hermosillo,
    America/Matamoros, America/Mazatlan, America/Merida, America/Mexico_City, America/Monterrey, America/Ojinaga,
    America/Tijuana}'),
    ('+53','CU','{America/Havana}'),
        ('+54', 'AR', '{America/Argentina/Buenos_Aires, America/Argentina/Catamarca, America/Argentina/Cordoba,
    America/Argentina/Jujuy, America/Argentina/La_Rioja, America/Argentina/Mendoza, America/Argentina/Rio_Gallegos,
    America/Argentina/Salta, America/Argentina/San_Juan, America/Argentina/San_Luis, America/Argentina/Tucuman,
    America/Argentina/Ushuaia}'),
        ('+55', 'BR', '{America/Araguaina, America/Bahia, America/Belem, America/Boa_Vista, America/Campo_Grande,
    America/Cuiaba, America/Eirunepe, America/Fortaleza, America/Maceio, America/Manaus, America/Noronha, America/Porto_Velho,
    America/Recife, America/Rio_Branco, America/Santarem, America/Sao_Paulo}'),
    ('+56','CL','{America/Coyhaique,America/Punta_Arenas,America/Santiago,Pacific/Easter}'), ('+57','CO','{America/Bogota}'),
    ('+58','VE','{America/Caracas}'), ('+590','GP','{America/Guadeloupe,America/Marigot,America/St_Barthelemy}'),
    ('+591','BO','{America/La_Paz}'), ('+592','GY','{America/Guyana}'), ('+593','EC','{America/Guayaquil,Pacific/Galapagos}'),
    ('+594','GF','{America/Cayenne}'), ('+595','PY','{America/Asuncion}'), ('+596','MQ','{America/Martinique}'),
    ('+597','SR','{America/Paramaribo}'), ('+598','UY','{America/Montevideo}'),
    ('+599','CW','{America/Curacao,America/Kralendijk}'), ('+60','MY','{Asia/Kuala_Lumpur,Asia/Kuching}'),
        ('+61', 'AU', '{Antarctica/Macquarie, Australia/Adelaide, Australia/Brisbane, Australia/Broken_Hill, Australia/Darwin,
    Australia/Eucla, Australia/Hobart, Australia/Lindeman, Australia/Lord_Howe, Australia/Melbourne, Australia/Perth,
    Australia/Sydney, Indian/Christmas, Indian/Cocos}'),
    ('+62','ID','{Asia/Jakarta,Asia/Jayapura,Asia/Makassar,Asia/Pontianak}'), ('+63','PH','{Asia/Manila}'),
    ('+64','NZ','{Pacific/Auckland,Pacific/Chatham}'), ('+65','SG','{Asia/Singapore}'), ('+66','TH','{Asia/Bangkok}'),
    ('+670','TL','{Asia/Dili}'), ('+672','NF','{Pacific/Norfolk}'), ('+673','BN','{Asia/Brunei}'),
    ('+674','NR','{Pacific/Nauru}'), ('+675','PG','{Pacific/Bougainville,Pacific/Port_Moresby}'),
    ('+676','TO','{Pacific/Tongatapu}'), ('+677','SB','{Pacific/Guadalcanal}'), ('+678','VU','{Pacific/Efate}'),
    ('+679','FJ','{Pacific/Fiji}'), ('+680','PW','{Pacific/Palau}'), ('+681','WF','{Pacific/Wallis}'),
    ('+682','CK','{Pacific/Rarotonga}'), ('+683','NU','{Pacific/Niue}'), ('+685','WS','{Pacific/Apia}'),
    ('+686','KI','{Pacific/Kanton,Pacific/Kiritimati,Pacific/Tarawa}'), ('+687','NC','{Pacific/Noumea}'),
    ('+688','TV','{Pacific/Funafuti}'), ('+689','PF','{Pacific/Gambier,Pacific/Marquesas,Pacific/Tahiti}'),
    ('+690','TK','{Pacific/Fakaofo}'), ('+691','FM','{Pacific/Chuuk,Pacific/Kosrae,Pacific/Pohnpei}'),
    ('+692','MH','{Pacific/Kwajalein,Pacific/Majuro}'),
        ('+7', 'RU', '{Asia/Almaty, Asia/Anadyr, Asia/Aqtau, Asia/Aqtobe, Asia/Atyrau, Asia/Barnaul, Asia/Chita, Asia/Irkutsk,
    Asia/Kamchatka, Asia/Khandyga, Asia/Krasnoyarsk, Asia/Magadan, Asia/Novokuznetsk, Asia/Novosibirsk, Asia/Omsk, Asia/Oral,
    Asia/Qostanay, Asia/Qyzylorda, Asia/Sakhalin, Asia/Srednekolymsk, Asia/Tomsk, Asia/Ust-Nera, Asia/Vladivostok,
    Asia/Yakutsk, Asia/Yekaterinburg, Europe/Astrakhan, Europe/Kaliningrad, Europe/Kirov, Europe/Moscow, Europe/Samara,
    Europe/Saratov, Europe/Ulyanovsk, Europe/Volgograd}'),
    ('+81','JP','{Asia/Tokyo}'), ('+82','KR','{Asia/Seoul}'), ('+84','VN','{Asia/Ho_Chi_Minh}'),
    ('+850','KP','{Asia/Pyongyang}'), ('+852','HK','{Asia/Hong_Kong}'), ('+853','MO','{Asia/Macau}'),
    ('+855','KH','{Asia/Phnom_Penh}'), ('+856','LA','{Asia/Vientiane}'), ('+86','CN','{Asia/Shanghai,Asia/Urumqi}'),
    ('+880','BD','{Asia/Dhaka}'), ('+886','TW','{Asia/Taipei}'), ('+90','TR','{Europe/Istanbul}'),
    ('+91','IN','{Asia/Kolkata}'), ('+92','PK','{Asia/Karachi}'), ('+93','AF','{Asia/Kabul}'), ('+94','LK','{Asia/Colombo}'),
    ('+95','MM','{Asia/Yangon}'), ('+960','MV','{Indian/Maldives}'), ('+961','LB','{Asia/Beirut}'),
    ('+962','JO','{Asia/Amman}'), ('+963','SY','{Asia/Damascus}'), ('+964','IQ','{Asia/Baghdad}'),
    ('+965','KW','{Asia/Kuwait}'), ('+966','SA','{Asia/Riyadh}'), ('+967','YE','{Asia/Aden}'), ('+968','OM','{Asia/Muscat}'),
    ('+970','PS','{Asia/Gaza,Asia/Hebron}'), ('+971','AE','{Asia/Dubai}'), ('+972','IL','{Asia/Jerusalem}'),
    ('+973','BH','{Asia/Bahrain}'), ('+974','QA','{Asia/Qatar}'), ('+975','BT','{Asia/Thimphu}'),
    ('+976','MN','{Asia/Hovd,Asia/Ulaanbaatar}'), ('+977','NP','{Asia/Kathmandu}'), ('+98','IR','{Asia/Tehran}'),
    ('+992','TJ','{Asia/Dushanbe}'), ('+993','TM','{Asia/Ashgabat}'), ('+994','AZ','{Asia/Baku}'),
    ('+995','GE','{Asia/Tbilisi}'), ('+996','KG','{Asia/Bishkek}'), ('+998','UZ','{Asia/Samarkand,Asia/Tashkent}')),
places AS (
    SELECT '+1' || coalesce(code, '') AS prefix, a.region, a.zones FROM area_codes a CROSS JOIN unnest(a.codes::text[]) code
    UNION ALL SELECT c.prefix, c.region, c.zones FROM countries c),
-- An older tzdata does not know them all.
known AS (
    SELECT p.prefix, p.region, ARRAY(SELECT z FROM unnest(p.zones::text[]) z WHERE is_timezone(z)) AS zones FROM places p)
SELECT k.prefix, k.region, k.zones FROM known k WHERE k.zones <> '{}';

-- When the law of a region lets people be texted, by their own clocks: a day on which several rows hold has the hours that
-- all of them leave; one that opens when it closes has none. In force from `valid_from` up to the day before `valid_until`.
CREATE TABLE quiet_hour_rules (
    region text NOT NULL,
    -- ISO: 1 is Monday.
    weekdays int[] NOT NULL,
    opens time NOT NULL,
    closes time NOT NULL,
    valid_from date NOT NULL DEFAULT '-infinity',
    valid_until date NOT NULL DEFAULT 'infinity',
    source text NOT NULL,
    PRIMARY KEY (region, weekdays, valid_from),
    CONSTRAINT hours_are_in_order CHECK (opens <= closes),
    -- Clocks change by quarters of an hour, so openings are looked for at these.
    CONSTRAINT hours_are_quarters CHECK (extract(epoch FROM opens)::int % 900 = 0 AND extract(epoch FROM closes)::int % 900 = 0)
);
-- The states' hours are from secondary sources, not complete, and change every year: to be reviewed by counsel, and to be
-- changed by rows with dates. Whether they cover texts that somebody has agreed to is disputed.
INSERT INTO quiet_hour_rules (region, weekdays, opens, closes, valid_from, source)
VALUES ('US', '{1,2,3,4,5,6,7}', '08:00', '21:00', '-infinity', '47 CFR 64.1200(c)(1)'),
       ('US-FL', '{1,2,3,4,5,6,7}', '08:00', '20:00', '-infinity', 'state law, 2nd hand, November 2026'),
       ('US-OK', '{1,2,3,4,5,6,7}', '08:00', '20:00', '-infinity', 'state law, 2nd hand, November 2026'),
       ('US-MD', '{1,2,3,4,5,6,7}', '08:00', '20:00', '-infinity', 'state law, 2nd hand, November 2026'),
       ('US-MS', '{1,2,3,4,5,6,7}', '08:00', '20:00', '-infinity', 'state law, 2nd hand, November 2026'),
       ('US-NJ', '{1,2,3,4,5,6,7}', '08:00', '20:00', '-infinity', 'state law, 2nd hand, November 2026'),
       ('US-CT', '{1,2,3,4,5,6,7}', '09:00', '20:00', '-infinity', 'state law, 2nd hand, November 2026'),
       ('US-TX', '{1,2,3,4,5,6}', '09:00', '21:00', '2025-09-01', 'state law, 2nd hand, November 2026; texts are covered since this day'),
       ('US-TX', '{7}', '12:00', '21:00', '2025-09-01', 'state law, 2nd hand, November 2026; texts are covered since this day'),
       ('US-RI', '{1,2,3,4,5}', '09:00', '18:00', '-infinity', 'state law, 2nd hand, November 2026'),
       ('US-RI', '{6,7}', '10:00', '17:00', '-infinity', 'state law, 2nd hand, November 2026');

-- The hours of each day of the week, Monday first, in minutes from midnight: the workspace's own (`on`: 8 to 21 h; `strict`:
-- 9 to 20 h, on Sundays from noon; or {"from", "to"}), narrowed by the law of a region and of its country.
CREATE FUNCTION sending_hours(setting jsonb, region text, day date) RETURNS TABLE (opens int[], closes int[])
LANGUAGE sql STABLE
AS $$
    WITH own (weekdays, opens, closes) AS (
        SELECT '{1,2,3,4,5,6}'::int[], v.opens::time, v.closes::time
          FROM (SELECT CASE setting WHEN '"on"' THEN '08:00' WHEN '"strict"' THEN '09:00' ELSE setting ->> 'from' END,
                       CASE setting WHEN '"on"' THEN '21:00' WHEN '"strict"' THEN '20:00' ELSE setting ->> 'to' END) v (opens, closes)
        UNION ALL
        SELECT '{7}', v.opens::time, v.closes::time
          FROM (SELECT CASE setting WHEN '"on"' THEN '08:00' WHEN '"strict"' THEN '12:00' ELSE setting ->> 'from' END,
                       CASE setting WHEN '"on"' THEN '21:00' WHEN '"strict"' THEN '20:00' ELSE setting ->> 'to' END) v (opens, closes)
        UNION ALL
        SELECT r.weekdays, r.opens, r.closes FROM quiet_hour_rules r
         WHERE r.region IN ($2, left($2, 2)) AND $3 >= r.valid_from AND $3 < r.valid_until)
    SELECT array_agg(d.opens ORDER BY d.weekday), array_agg(d.closes ORDER BY d.weekday)
      FROM (SELECT weekday, max(extract(epoch FROM o.opens))::int / 60 AS opens, min(extract(epoch FROM o.closes))::int / 60 AS closes
              FROM generate_series(1, 7) weekday JOIN own o ON weekday = ANY (o.weekdays)
             GROUP BY weekday) d
$$;

-- The first instant from `at` on at which the clocks of every zone show an hour between opening and closing; `infinity` when
-- there is none within 8 days. The last minute before closing does not count: what is claimed in it would leave after it.
CREATE FUNCTION next_allowed(zones text[], opens int[], closes int[], at timestamptz) RETURNS timestamptz
LANGUAGE plpgsql STABLE PARALLEL SAFE
AS $$
DECLARE
    moment timestamptz := at;
    before timestamptz;
    zone text;
    clock timestamp;
    midnight timestamp;
    opening timestamp;
    weekday int;
BEGIN
    WHILE moment < at + interval '8 days' LOOP
        before := moment;
        -- Each zone puts it off no further than to its own next opening, so none is passed over.
        FOREACH zone IN ARRAY zones LOOP
            clock := moment AT TIME ZONE zone;
            midnight := date_trunc('day', clock);
            weekday := extract(isodow FROM clock);
            opening := midnight + make_interval(mins => opens[weekday]);
            CONTINUE WHEN clock >= opening AND clock < midnight + make_interval(mins => closes[weekday] - 1);
            IF clock >= opening THEN
                opening := midnight + interval '1 day' + make_interval(mins => opens[weekday % 7 + 1]);
            END IF;
            -- Clocks that are changed on the way are followed from quarter to quarter.
            IF (moment + (opening - clock)) AT TIME ZONE zone = opening THEN
                moment := moment + (opening - clock);
            ELSE
                moment := date_bin('15 minutes', moment, '2000-01-01 00:00:00+00') + interval '15 minutes';
            END IF;
        END LOOP;
        IF moment = before THEN RETURN moment; END IF;
    END LOOP;
    RETURN 'infinity';
END
$$;

-- Settings of time as the API shows them.
CREATE FUNCTION timing_settings(w workspaces) RETURNS jsonb LANGUAGE sql STABLE
AS $$
    SELECT jsonb_build_object('quiet_hours_sms', coalesce(w.settings -> 'quiet_hours_sms', '"on"'),
                              'quiet_hours_email', coalesce(w.settings -> 'quiet_hours_email', '"off"'))
$$;
GRANT EXECUTE ON FUNCTION timing_settings(workspaces) TO muster_responder;

-- Until when contacts have to be left in peace: from 'ZONE/PREFIX' (their own zone and the first five characters of their
-- number, each empty where it is missing) to an instant, `infinity` when no hour suits. Who is not in it may be written to
-- now; NULL: quiet hours are off. Their own zone counts, else every zone that the number may lie in, else the workspace's.
-- The law that is looked at is that of the number's region, wherever they say they are; it is of texts only.
CREATE FUNCTION quiet_until(channel text, own_zones text[], prefixes text[], at timestamptz) RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$
DECLARE
    setting jsonb;
    workspace_zone text;
BEGIN
    SELECT timing_settings(w) -> ('quiet_hours_' || channel), w.timezone INTO setting, workspace_zone
      FROM workspaces w WHERE w.id = current_workspace();
    IF setting = '"off"' THEN RETURN NULL; END IF;
    RETURN (
        WITH places AS MATERIALIZED (
            SELECT k.own, k.prefix,
                   CASE WHEN k.own <> '' AND is_timezone(k.own) THEN ARRAY[k.own]
                        ELSE coalesce(n.zones, ARRAY[workspace_zone]) END AS zones,
                   -- A state without rules of its own is like any other.
                   CASE WHEN channel <> 'sms' THEN NULL
                        WHEN n.region IN (SELECT r.region FROM quiet_hour_rules r) THEN n.region ELSE left(n.region, 2) END AS region
              FROM (SELECT DISTINCT coalesce(u.own, '') AS own, coalesce(u.prefix, '') AS prefix
                      FROM unnest(own_zones, prefixes) u (own, prefix)) k
              LEFT JOIN LATERAL (
                  SELECT p.region, p.zones FROM number_places p
                   WHERE p.prefix IN (left(k.prefix, 5), left(k.prefix, 4), left(k.prefix, 3), left(k.prefix, 2))
                   ORDER BY length(p.prefix) DESC LIMIT 1) n ON true),
        regions AS MATERIALIZED (
            SELECT r.region, h.opens, h.closes
              FROM (SELECT DISTINCT p.region FROM places p) r
             CROSS JOIN LATERAL sending_hours(setting, r.region, (at AT TIME ZONE workspace_zone)::date) h),
        openings AS MATERIALIZED (
            SELECT g.zones, g.region, next_allowed(g.zones, h.opens, h.closes, at) AS opens_at
              FROM (SELECT DISTINCT p.zones, p.region FROM places p) g
              JOIN regions h ON h.region IS NOT DISTINCT FROM g.region)
        SELECT coalesce(jsonb_object_agg(p.own || '/' || p.prefix, o.opens_at), '{}')
          FROM places p JOIN openings o ON o.zones = p.zones AND o.region IS NOT DISTINCT FROM p.region
         WHERE o.opens_at > at);
END
$$;
GRANT EXECUTE ON FUNCTION quiet_until(text, text[], text[], timestamptz) TO muster_responder, muster_worker, muster_maintenance;

ALTER TABLE campaigns
    ADD COLUMN respects_quiet_hours boolean NOT NULL DEFAULT true,
    -- What has not left by then is left out.
    ADD COLUMN send_until timestamptz;
