import Analytics
import Web

serve("analytics", eventRoutes + analyticsRoutes)
