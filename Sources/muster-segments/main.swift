import Audience
import Web

serve(
    "segments",
    contactRoutes + importRoutes + fieldRoutes + listRoutes + consentRoutes + suppressionRoutes + segmentRoutes)
