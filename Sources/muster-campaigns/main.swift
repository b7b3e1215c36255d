import Messaging
import Web

serve("campaigns", templateRoutes + senderRoutes + campaignRoutes)
