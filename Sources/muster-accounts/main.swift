import Accounts
import Web

serve("accounts", accountRoutes)
